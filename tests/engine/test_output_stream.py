"""Newest wins for what only shows progress; nothing else is ever lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine import (
    FinishReason,
    ImageReady,
    Loading,
    OutputStream,
    Progress,
    Queued,
    RequestOutput,
    Safety,
)

PIXELS = np.zeros((1, 1, 3), np.uint8)
END = RequestOutput(request_id="one", finish_reason=FinishReason.COMPLETED)
UPDATES = st.one_of(
    st.builds(Queued, st.integers(1, 9), st.none()),
    st.builds(Loading, st.just("model"), st.floats(0, 1)),
    st.builds(Progress, st.integers(0, 9), st.just(9), st.sampled_from([(), (PIXELS,)])),
    st.builds(ImageReady, st.integers(0, 3), st.just(PIXELS), st.just(Safety.SAFE)),
)


async def drain(updates: list) -> list:
    stream = OutputStream("one")
    for update in updates:
        stream.put(update)
    stream.put(END)
    stream.put(Queued(1, None))
    return [item async for item in stream]


@given(st.lists(UPDATES, max_size=20))
async def test_pictures_and_the_end_survive_a_slow_reader(updates: list) -> None:
    items = await drain(updates)
    assert items[-1] is END
    pictures = [update for update in updates if isinstance(update, ImageReady)]
    assert [item for item in items if isinstance(item, ImageReady)] == pictures
    coalesced = [isinstance(item, Queued | Loading | Progress) for item in items]
    assert not any(first and second for first, second in pairwise(coalesced))


async def test_a_preview_outlives_the_progress_it_came_with() -> None:
    items = await drain([Progress(1, 9, (PIXELS,)), Progress(2, 9)])
    assert (items[0].step, items[0].previews) == (2, (PIXELS,))
