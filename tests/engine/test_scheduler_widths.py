"""What one step holds: how many rows, of which pictures."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batch import PictureProgress, ScheduledBatch, Size
from engine.scheduler import SEEN
from tests.engine.scheduling import MODEL, OTHER, Harness, request, z_image

SIZE = Size(MODEL, "denoise", 512, 512)


def test_pictures_of_one_request_may_step_apart_and_late_comers_join() -> None:
    harness = Harness(row_budget=6)
    harness.add(request("a", seeds=(0, 1)))
    assert harness.tick().rows == 4  # type: ignore[union-attr]
    harness.add(request("b", seeds=(0, 1)))
    batch = harness.tick()
    assert batch is not None
    assert [(p.request.request_id, p.index) for p in batch.pictures] == [("a", 0), ("a", 1), ("b", 0)]


def test_only_equal_keys_share_a_step() -> None:
    harness = Harness(row_budget=100, ready=(MODEL, OTHER))
    harness.add(
        request("a"), request("b", width=256), request("c", model=OTHER), request("d", sampler="euler")
    )
    assert harness.ids(harness.tick()) == ["a", "d"]


def test_the_picture_with_the_least_left_goes_first_where_not_all_fit() -> None:
    """So that one can be seen early, also where memory ran out and the step did less than was scheduled."""
    harness = Harness(row_budget=6)
    harness.add(request("grid", seeds=(0, 1, 2)))
    batch = harness.scheduler.schedule()
    assert batch is not None
    harness.scheduler.update([PictureProgress("grid", 1, 1, 3, batch.key)])
    harness.scheduler.row_budget = 4
    batch = harness.scheduler.schedule()
    assert batch is not None
    assert [picture.index for picture in batch.pictures] == [1, 0]


def test_the_row_budget_is_that_of_the_model_and_size() -> None:
    harness = Harness(row_budget=8)
    harness.scheduler.row_budgets[SIZE] = 4
    harness.add(request("large", seeds=(0, 1, 2, 3)))
    assert harness.tick().rows == 4  # type: ignore[union-attr]
    harness.scheduler.abort("large")
    harness.add(request("small", seeds=(0, 1, 2, 3), width=256))
    assert rows_of_whole_grids(harness.tick()) == 8


@pytest.mark.parametrize(
    ("overhead", "waiting", "width"),
    [
        (0.0, 40, 8),
        (2.0, 1, 8),
        (5.0, 3, 8),
        (6.0, 3, 16),
        (1.0, 6, 8),
        (1.0, 7, 16),
        (1.0, 11, 16),
        (1.0, 12, 24),
        (1.0, 16, 24),
        (1.0, 17, 32),
        (math.inf, 2, 16),
        (math.inf, 40, 32),
    ],
)
def test_steps_are_as_wide_as_makes_pictures_ready_soonest(overhead: float, waiting: int, width: int) -> None:
    """Grids of eight rows in a queue of so many: the longer the queue, the more is gained by wide steps."""
    harness = Harness(row_budget=32)
    harness.scheduler.overheads[SIZE] = overhead
    harness.add(*(request(str(index), seeds=(0, 1, 2, 3)) for index in range(waiting)))
    assert rows_of_whole_grids(harness.tick()) == width


def test_who_is_held_back_makes_no_step_wider() -> None:
    harness = Harness(row_budget=32)
    harness.scheduler.overheads[SIZE] = 2.0
    harness.add(*(request(str(index), seeds=(0, 1, 2, 3)) for index in range(8)))
    for index in range(4, 8):
        harness.scheduler.hold_back(str(index), MODEL)
    assert rows_of_whole_grids(harness.tick()) == 8
    for index in range(4, 8):
        harness.scheduler.release(str(index), MODEL)
    assert rows_of_whole_grids(harness.tick()) == 16


def test_newcomers_are_seen_to_begin_beside_others() -> None:
    """With one picture, for one step and in the rows that are left; their turn comes when it would have come."""
    harness = Harness(row_budget=32)
    harness.scheduler.overheads[SIZE] = 0.5
    harness.add(request("old", seeds=(0, 1, 2, 3), num_inference_steps=9))
    harness.tick()
    harness.add(*(request(id_, seeds=(0, 1, 2, 3), num_inference_steps=20) for id_ in ("b", "c")))
    assert pictures_by_id(harness.tick()) == {"old": 4, "b": 1, "c": 1}
    assert harness.scheduler.waiting == 0
    for _ in range(7):
        assert pictures_by_id(harness.tick()) == {"old": 4}
    assert pictures_by_id(harness.tick()) == {"b": 4}, "nothing is left of the eldest"


def test_newcomers_wait_where_enough_are_under_way() -> None:
    harness = Harness(row_budget=32)
    harness.scheduler.overheads[SIZE] = 0.0
    ids = "abcdefghij"
    harness.add(*(request(id_, seeds=(0, 1, 2, 3), num_inference_steps=9) for id_ in ids))
    assert pictures_by_id(harness.tick()) == {"a": 4, **dict.fromkeys("bcdefgh", 1)}
    assert harness.scheduler.waiting == len(ids) - SEEN
    assert list(harness.forecast.places(None)) == ["i", "j"]
    for _ in range(8):
        assert pictures_by_id(harness.tick()) == {"a": 4}
    assert pictures_by_id(harness.tick()) == {"b": 4, "i": 1}, "the end of one makes room for another"
    harness.scheduler.abort("c")
    assert pictures_by_id(harness.tick()) == {"b": 4, "j": 1}


def test_newcomers_take_no_more_rows_than_are_left() -> None:
    harness = Harness(row_budget=11)
    harness.scheduler.overheads[SIZE] = 0.0
    harness.add(*(request(id_, seeds=(0, 1, 2, 3), num_inference_steps=9) for id_ in "abc"))
    assert pictures_by_id(harness.tick()) == {"a": 4, "b": 1}
    assert pictures_by_id(harness.tick()) == {"a": 4, "c": 1}


@settings(deadline=None)
@given(
    budget=st.integers(2, 9),
    sizes=st.lists(
        st.tuples(st.sampled_from([512, 1024, 1536, 2048]), st.booleans(), st.integers(1, 4)), max_size=8
    ),
)
def test_what_is_larger_than_the_budget_steps_alone(budget: int, sizes: list[tuple[int, bool, int]]) -> None:
    info = z_image()
    harness = Harness(row_budget=budget, ready=(info.name,))
    for index, (side, guided, count) in enumerate(sizes):
        new = request(
            str(index),
            model=info.name,
            width=side,
            height=side,
            guidance_scale=float(guided),
            seeds=tuple(range(count)),
            share_key=str(index % 3),
        )
        harness.scheduler.add(new, info)
    while (batch := harness.tick()) is not None:
        assert batch.rows == sum(picture.rows for picture in batch.pictures)
        assert batch.rows <= budget or len(batch.pictures) == 1
    assert sorted(harness.finished) == sorted(map(str, range(len(sizes))))
    assert not harness.scheduler._piles._widths


def rows_of_whole_grids(batch: ScheduledBatch | None) -> int:
    """All but the one picture each of those that are only seen to begin."""
    pictures = pictures_by_id(batch)
    assert set(pictures.values()) <= {1, 4}
    return 8 * sum(count == 4 for count in pictures.values())


def pictures_by_id(batch: ScheduledBatch | None) -> Counter[str]:
    assert batch is not None
    return Counter(picture.request.request_id for picture in batch.pictures)
