from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import Action
from bot.views.button_id import RESULT_ACTIONS, TEMPLATE, button_id, is_button_of
from bot.views.clicks import CLICKS
from bot.views.panels import failed_buttons, history_buttons, result_buttons, unfinished_buttons
from tests.bot.examples import JOB
from tests.bot.views.test_job_text import picture

GRID = replace(JOB, images=tuple(picture(index) for index in range(4)))
SINGLE = replace(JOB, action=Action.UPSCALE, images=(picture(0),))


@given(st.sampled_from(sorted(CLICKS)), st.uuids(), st.integers(0, 3))
def test_an_id_says_action_cell_and_job(action, job_id, cell):
    match = TEMPLATE.fullmatch(button_id(action, job_id, cell))
    assert (match["action"], UUID(match["job"]), int(match["cell"])) == (action, job_id, cell)


@given(st.text())
def test_other_ids_are_nobodys_result(text):
    assert not is_button_of(text, JOB.id, RESULT_ACTIONS)


def test_a_result_is_known_by_its_own_buttons_only():
    assert is_button_of(button_id("u", JOB.id, 2), JOB.id, RESULT_ACTIONS)
    assert not is_button_of(button_id("c", JOB.id), JOB.id, RESULT_ACTIONS)
    assert not is_button_of(button_id("u", uuid4()), JOB.id, RESULT_ACTIONS)
    assert not is_button_of(None, JOB.id, RESULT_ACTIONS)


def rows(view):
    return [[item["custom_id"][3:6] for item in row["components"]] for row in view.to_components()]


async def test_panels():
    assert rows(result_buttons(GRID)) == [
        ["u:0", "u:1", "u:2", "u:3", "r:0"],
        ["v:0", "v:1", "v:2", "v:3", "d:0"],
        ["s:0", "m:0"],
    ]
    assert rows(result_buttons(SINGLE)) == [["v:0", "m:0", "r:0", "s:0", "d:0"]]
    assert rows(unfinished_buttons(JOB)) == [["c:0"]]
    assert rows(failed_buttons(JOB)) == [["t:0"]]
    assert rows(history_buttons(JOB.id, "en", first=True, more=True)) == [["h:0"]]
    assert rows(history_buttons(JOB.id, "en", first=False, more=False)) == [["h:1"]]
    assert rows(history_buttons(JOB.id, "en", first=True, more=False)) == []


@pytest.mark.parametrize("panel", [result_buttons(GRID), result_buttons(SINGLE), failed_buttons(JOB)])
async def test_every_button_has_an_answer(panel):
    assert {TEMPLATE.fullmatch(item.custom_id)["action"] for item in panel.children} <= CLICKS.keys()


async def test_the_buttons_of_a_smaller_grid_match_its_pictures():
    smaller = replace(GRID, images=GRID.images[:2])
    assert rows(result_buttons(smaller)) == [["u:0", "u:1", "r:0"], ["v:0", "v:1", "d:0"], ["s:0", "m:0"]]


async def test_posted_views_are_not_kept_in_memory():
    assert result_buttons(GRID).is_finished()
