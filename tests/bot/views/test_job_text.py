from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import Action, Destination, JobState, JobUpdate, Parameters, StoredImage
from bot.errors import UserError
from bot.views.job_text import (
    alt_text,
    cancelled_text,
    failed_text,
    progress_text,
    result_text,
    shown,
    typed,
    unposted_text,
    waiting_text,
)
from engine import Safety
from tests.bot.examples import JOB

PLAIN = replace(JOB, parameters=Parameters())


def picture(index: int, safety: Safety = Safety.SAFE) -> StoredImage:
    return StoredImage(
        index=index, seed=5 + index, width=512, height=512, sha256="", safety=safety, path=None
    )  # type: ignore[arg-type]


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
    assert result_text(replace(PLAIN, images=images)) == "**a cat** – <@42>\n-# Seed 5"
    single = replace(
        PLAIN, action=Action.UPSCALE, parent_id=UUID(int=1), parent_index=1, images=(picture(1),)
    )
    assert result_text(single) == "**a cat** – Image #2 <@42>\n-# Seed 6"
    variations = replace(PLAIN, action=Action.VARY, parent_id=UUID(int=1), parent_index=2, images=images)
    assert "**a cat** – Variations by <@42>\n" in result_text(variations)


def test_a_rounded_size_is_said():
    images = (picture(0),)
    square = replace(PLAIN, images=images)
    assert "Rounded" not in result_text(square)
    assert "Rounded" not in result_text(replace(square, parameters=Parameters(aspect=(2, 2))))
    wide = replace(square, parameters=Parameters(aspect=(16, 9)))
    assert "-# Rounded to 512 × 512 px, the nearest to 16:9 that this model draws." in result_text(wide)
    other = replace(square, sampling=replace(JOB.sampling, width=500))
    assert "Rounded to 512 × 512 px, the nearest to 500 × 512" in result_text(other)


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


@settings(max_examples=40, deadline=None)
@given(
    prompt=st.text(max_size=300) | st.text("*@:/ a", min_size=2000, max_size=4000),
    words=st.lists(st.text("*_a", min_size=1, max_size=200), max_size=5).map(tuple),
    reason=st.text(max_size=400) | st.text("_`", min_size=500, max_size=5000),
    action=st.sampled_from(Action),
)
def test_no_message_is_too_long(prompt, words, reason, action):
    images = tuple(picture(index, Safety.FLAGGED) for index in range(4))
    job = replace(
        PLAIN,
        id=UUID(int=2**128 - 1),
        owner_id=2**64 - 1,
        action=action,
        prompt=prompt or "x",
        images=images,
        seeds=(2**32 - 1,),
        unread_words=words,
        unknown_words=words,
        destination=Destination(channel_id=2**64 - 1),
        error_code="picture_not_saved",
        error_values={"reason": reason},
    )
    for text in (
        waiting_text(job, update(JobState.WAITING, place=200, eta=9e4)),
        progress_text(job, update(JobState.RUNNING, loading="A model (1.0 GB of 4.0 GB)")),
        cancelled_text(job),
        failed_text(job, UserError("picture_not_saved", reason=reason)),
        unposted_text(job),
        result_text(job, by_direct_message=True),
    ):
        assert len(text) <= 2000
    assert len(alt_text(job)) <= 1024


def test_a_reason_is_shown_as_plain_text():
    text = failed_text(PLAIN, UserError("picture_not_saved", reason="@everyone **full** https://disk"))
    assert "@\u200beveryone \\*\\*full\\*\\* https:\u200b//disk" in text


def test_a_code_that_is_not_known_any_more_is_an_error_of_ours():
    assert "Something went wrong inside Fourfold" in failed_text(PLAIN, UserError("code_of_yesterday"))


def test_the_worst_prompt_still_fits():
    assert 1500 < len(shown("*" * 4000)) <= 1600
    assert shown("a" * 4000) == "a" * 1499 + "…"
    assert shown("ab *** cd", room=7) == r"ab \*…"


def test_a_parameter_that_was_not_heeded_is_said():
    job = replace(JOB, sampling=replace(JOB.sampling, negative_prompt=""))
    assert (
        "-# This model cannot heed --no; the pictures were made without it." in result_text(job).splitlines()
    )
    assert "heed" not in result_text(JOB)
