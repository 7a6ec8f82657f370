from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import Action, JobState, JobUpdate, Parameters, StoredImage
from bot.errors import UserError
from bot.views.job_text import (
    alt_text,
    cancelled_text,
    failed_text,
    progress_text,
    result_text,
    shown,
    typed,
    waiting_text,
)
from engine import Safety
from tests.bot.examples import JOB

PLAIN = replace(JOB, parameters=Parameters())


def picture(index: int, safety: Safety = Safety.SAFE) -> StoredImage:
    return StoredImage(index=index, seed=5 + index, width=64, height=64, sha256="", safety=safety, path=None)  # type: ignore[arg-type]


def update(state: JobState, **fields) -> JobUpdate:
    return JobUpdate(job_id=JOB.id, state=state, **fields)


def test_every_state_has_its_words():
    assert waiting_text(PLAIN) == "**a cat** – <@42> (Waiting to start)"
    assert waiting_text(PLAIN, update(JobState.WAITING, place=2, eta=40)) == (
        "**a cat** – <@42> (Waiting to start: place 2 in the queue, ready in about 40 seconds)"
    )
    assert "(Loading the model: Test, 12 of 40 MB)" in waiting_text(
        PLAIN, update(JobState.WAITING, loading="Test, 12 of 40 MB")
    )
    assert progress_text(PLAIN, update(JobState.RUNNING, fraction=0.319)) == "**a cat** – <@42> (31%)"
    assert cancelled_text(PLAIN) == "**a cat** – <@42> (Cancelled)"
    assert failed_text(PLAIN, UserError("database_busy")).startswith(
        "**a cat** – <@42> (Failed)\nThe database"
    )


def test_the_result_says_whose_it_is_and_where_it_came_from():
    images = tuple(picture(index) for index in range(4))
    assert result_text(replace(PLAIN, images=images)) == "**a cat** – <@42> (fast)\n-# Seed 5"
    single = replace(
        PLAIN, action=Action.UPSCALE, parent_id=UUID(int=1), parent_index=1, images=(picture(1),)
    )
    assert result_text(single) == "**a cat** – Image #2 <@42> (fast)\n-# Seed 6"
    variations = replace(PLAIN, action=Action.VARY, parent_id=UUID(int=1), parent_index=2, images=images)
    assert "**a cat** – Variations by <@42> (fast)" in result_text(variations)


def test_flags_are_shown_as_they_would_be_typed():
    assert typed(JOB) == "a cat --seed 5 --no dogs"
    assert "**a cat --seed 5 --no dogs** –" in waiting_text(JOB)


def test_what_the_model_could_not_use_is_said():
    images = (picture(0, Safety.FLAGGED), picture(1, Safety.FLAGGED), picture(2))
    text = result_text(replace(PLAIN, images=images, unread_words=("late", "words"), unknown_words=("zyx",)))
    assert "did not see: late, words" in text
    assert "never shown: zyx" in text
    assert "withheld 2 pictures" in text
    assert "withheld 1 picture." in result_text(replace(PLAIN, images=images[1:]))


@pytest.mark.parametrize(
    "prompt",
    [
        "@everyone and <@42> and <#3> and @here",
        "**bold** _it_ ~~gone~~ ||hidden|| `code` ```block```",
        "# heading\n> quote\n- list\n-# small",
        "[click](https://evil.example) https://discord.gg/abc",
        "back\\slash",
    ],
)
def test_a_prompt_is_shown_as_plain_text(prompt):
    text = waiting_text(replace(PLAIN, prompt=prompt))
    body = text.removeprefix("**").split("** –")[0]
    assert not re.search(r"(?<!\\)(\\\\)*[*_~|`<>\[\]#]", body)
    assert "@everyone" not in body
    assert "@here" not in body
    assert "://" not in body
    assert "\n" not in body


@given(st.text(max_size=4000))
def test_no_prompt_makes_a_message_too_long(prompt):
    images = tuple(picture(index, Safety.FLAGGED) for index in range(4))
    words = tuple(prompt.split()[:50])
    job = replace(PLAIN, prompt=prompt or "x", images=images, unread_words=words, unknown_words=words)
    assert len(result_text(job, by_direct_message=True)) <= 2000
    assert len(alt_text(job)) <= 1024


def test_the_worst_prompt_still_fits():
    assert 1500 < len(shown("*" * 4000)) <= 1600
    assert shown("a" * 4000) == "a" * 1499 + "…"
