"""Which model a prompt asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import Parameters
from bot.errors import UserError
from bot.prompting import VERSIONS, chosen_model, format_prompt, parse, plan, sampling_for, unheeded
from bot.texts import say
from engine.catalog import FewSteps
from tests.bot.examples import JOB, MODEL

SD = replace(MODEL, name=VERSIONS["sd"], fast="sd-fast")
UNCLIP = replace(MODEL, name=VERSIONS["unclip"])
FAST = replace(MODEL, name="sd-fast", default_steps=4)


def test_the_first_model_draws_unless_another_is_named() -> None:
    assert chosen_model(Parameters(), (SD, UNCLIP, FAST))[0] == SD
    assert chosen_model(parse("a cat --v unclip").parameters, (SD, UNCLIP, FAST))[0] == UNCLIP
    assert chosen_model(parse("a cat --version SD").parameters, (UNCLIP, SD))[0] == SD


def test_an_unknown_version_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError) as refusal:
        parse("a cat --v unklip")
    assert refusal.value.values["nearest"] == "unclip"
    sentence = say("error.parameter_out_of_range", **refusal.value.values)
    assert all(version in sentence for version in VERSIONS)


def test_a_version_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError) as refusal:
        chosen_model(Parameters(version="unclip"), (SD,))
    assert "`--v sd`" in say(f"error.{refusal.value.code}", **refusal.value.values)
    with pytest.raises(UserError) as refusal:
        chosen_model(Parameters(version="unclip"), (MODEL,))
    assert MODEL.title in say(f"error.{refusal.value.code}", **refusal.value.values)


@pytest.mark.parametrize("flag", ["--draft", "--turbo"])
def test_a_draft_is_made_by_the_few_step_variant(flag: str) -> None:
    prompt = parse(f"a cat {flag} --seed 1")
    assert format_prompt(prompt) == "a cat --seed 1 --draft"
    model, parameters = chosen_model(prompt.parameters, (SD, UNCLIP, FAST))
    assert model == FAST
    assert unheeded(replace(JOB, parameters=parameters)) == ()


@pytest.mark.parametrize("models", [(UNCLIP, SD, FAST), (SD, UNCLIP)])
def test_a_draft_of_a_model_without_a_variant_is_made_as_usual_and_said(models) -> None:
    model, parameters = chosen_model(Parameters(draft=True), models)
    assert model == models[0]
    assert unheeded(replace(JOB, parameters=parameters)) == ("--draft",)


def test_words_after_a_flag_without_a_value_are_refused() -> None:
    with pytest.raises(UserError) as refusal:
        parse("a cat --draft of a dog")
    assert refusal.value.code == "text_after_parameters"


def test_a_draft_by_a_lora_keeps_the_model_and_takes_its_few_steps() -> None:
    """Its pictures share steps with others; what is not to be seen has no say, and the result tells."""
    few = FewSteps(
        adapter=Path("few-steps.safetensors"), num_inference_steps=4, guidance_scale=1.0, sampler="lcm"
    )
    model, parameters = chosen_model(
        parse("a cat --draft --no dog").parameters, (replace(MODEL, few_steps=few), FAST)
    )
    assert model.few_steps == few
    sampling = sampling_for(parameters, model)
    assert (sampling.num_inference_steps, sampling.guidance_scale, sampling.sampler) == (4, 1.0, "lcm")
    assert sampling.negative_prompt == ""
    job = replace(JOB, parameters=parameters, sampling=sampling)
    assert unheeded(job) == ("--no",)
    assert plan(job, model, None).adapters == ((few.adapter, 1.0),)
    usual = replace(job, parameters=replace(parameters, draft=None))
    assert plan(usual, model, None).adapters == ()
