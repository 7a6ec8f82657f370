"""What is foretold of the queue, and how far it may move."""

from __future__ import annotations

from tests.engine.scheduling import Harness, request


def test_places_count_the_work_ahead() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("a"), request("b", share_key="2"), request("c", share_key="3"))
    assert harness.scheduler.places(None) == {"a": (1, None), "b": (2, None), "c": (3, None)}
    harness.tick()  # "a" has done 4 of its 12 row-steps.
    assert harness.scheduler.places(0.5) == {"b": (1, (8 + 12) * 0.5), "c": (2, (8 + 12 + 12) * 0.5)}
