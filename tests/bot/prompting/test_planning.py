"""Sizes, seeds and requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import Action, Parameters
from bot.prompting import VARY_STRENGTH, picture_seeds, plan, sampling_for, size_for, unheeded
from engine import Operation
from engine.catalog import Guidance
from engine.validation import validate
from tests.bot.examples import JOB, MODEL

sides = st.integers(1, 32)
aspects = st.tuples(st.integers(1, 9999), st.integers(1, 9999)).filter(lambda a: 0.25 <= a[0] / a[1] <= 4)


def test_a_model_paints_at_its_native_size_unless_asked() -> None:
    assert size_for(None, MODEL) == (512, 512)
    assert size_for((1, 1), MODEL) == (512, 512)
    assert size_for((3, 2), MODEL) == (624, 416)
    assert size_for((2, 3), MODEL) == (416, 624)
    assert size_for((4, 1), MODEL) == (1024, 256)


@given(aspects, st.sampled_from([8, 16, 32, 64]), sides, sides, st.integers(1, 16), st.integers(32, 64))
def test_every_size_fits_its_model(
    aspect: tuple[int, int], multiple: int, width: int, height: int, least: int, most: int
) -> None:
    model = replace(
        MODEL,
        native_width=multiple * width,
        native_height=multiple * height,
        size_multiple=multiple,
        min_side=multiple * least,
        max_side=multiple * most,
    )
    sampling = sampling_for(Parameters(aspect=aspect), model)
    validate(plan(replace(JOB, sampling=sampling), model, None), model)
    got_width, got_height = sampling.width, sampling.height
    assert (got_width >= got_height) == (aspect[0] >= aspect[1]) or got_width == got_height


def test_picture_seeds_count_up_and_wrap() -> None:
    assert picture_seeds(5, 3) == (5, 6, 7)
    assert picture_seeds(2**32 - 2, 4) == (2**32 - 2, 2**32 - 1, 0, 1)


def test_a_plan_carries_all_that_was_asked() -> None:
    request = plan(JOB, MODEL, None)
    validate(request, MODEL)
    assert request.request_id == JOB.id.hex
    assert request.seeds == (5, 6, 7, 8)
    assert request.operation is Operation.TEXT_TO_IMAGE
    assert request.params.negative_prompt == "dogs"
    assert request.share_key == "42"
    assert request.submitted_at == JOB.created_at.timestamp()


def test_a_variation_starts_from_its_picture() -> None:
    sampling = replace(sampling_for(JOB.parameters, MODEL), strength=VARY_STRENGTH)
    request = plan(replace(JOB, action=Action.VARY, sampling=sampling), MODEL, Path("source.png"))
    validate(request, MODEL)
    assert request.operation is Operation.IMAGE_TO_IMAGE
    assert request.init_image == Path("source.png")
    assert request.prompt == JOB.prompt
    assert 0.75 <= request.params.strength <= 0.85


@pytest.mark.parametrize("guidance", [Guidance.NONE, Guidance.CONDITION])
def test_what_a_model_cannot_heed_is_left_out_and_said(guidance: Guidance) -> None:
    asked = Parameters(no=("dogs",))
    distilled = replace(MODEL, guidance=guidance)
    job = replace(JOB, parameters=asked, sampling=sampling_for(asked, distilled))
    validate(plan(job, distilled, None), distilled)
    assert unheeded(job) == ("--no",)
    assert unheeded(replace(job, parameters=Parameters())) == ()
    before = replace(job, sampling=sampling_for(asked, MODEL))
    assert unheeded(before) == ()
    # The model was not there yet when the job was made.
    validate(plan(before, distilled, None), distilled)
