"""Newest wins for what only shows progress; nothing else is ever lost."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from unittest.mock import patch

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
from engine.output_stream import SLICE, OutputStreams

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


class Readers:
    """Streams by request id, and what each has yielded so far."""

    def __init__(self, count: int) -> None:
        self.streams = OutputStreams(asyncio.get_running_loop())
        self.read: dict[str, list[object]] = {str(number): [] for number in range(count)}
        self._tasks = [asyncio.create_task(self._read(self.streams.open(id_))) for id_ in self.read]

    async def _read(self, stream: OutputStream) -> None:
        async for item in stream:
            self.read[stream.request_id].append(item)

    def total(self) -> int:
        return sum(map(len, self.read.values()))

    def tell(self, eta: float) -> None:
        """Everybody's place, as the engine does when the queue has changed."""
        self.streams.feed((id_, Queued(place, eta)) for place, id_ in enumerate(self.read, 1))

    async def end(self) -> None:
        self.streams.end(finish_reason=FinishReason.ABORTED)
        await asyncio.gather(*self._tasks)


async def turn() -> None:
    """One of the event loop, in which whoever was fed something before reads it."""
    await asyncio.sleep(0)


async def test_thousands_are_told_their_places_a_slice_at_a_time() -> None:
    readers = Readers(20 * SLICE)
    await turn()
    readers.tell(1.0)
    before, turns = 0, 0
    while readers.total() < len(readers.read):
        await turn()
        assert readers.total() - before <= SLICE
        before, turns = readers.total(), turns + 1
    assert turns >= 20
    await readers.streams.fed()
    assert all(items == [Queued(place, 1.0)] for place, items in enumerate(readers.read.values(), 1))
    await readers.end()
    assert not readers.streams


async def test_only_the_newest_place_is_told_and_nobody_loses_his_turn_by_it() -> None:
    readers = Readers(10 * SLICE)
    await turn()
    for eta in range(1, 11):
        readers.tell(float(eta))
        await turn()
    await readers.streams.fed()
    await turn()
    told = [[item.eta for item in items] for items in readers.read.values()]  # type: ignore[attr-defined]
    assert all(etas[-1] == 10.0 for etas in told), "the last one reaches everybody"
    assert all(etas == sorted(etas) for etas in told)
    assert sum(map(len, told)) < 3 * len(told), "most of what was out of date has been left out"
    assert {etas[0] for etas in told} > {1.0, 2.0, 9.0}, "who waits longest is told first"
    await readers.end()


async def test_a_picture_does_not_wait_for_the_places_of_others() -> None:
    readers = Readers(20 * SLICE)
    await turn()
    readers.tell(1.0)
    last, picture = str(20 * SLICE - 1), ImageReady(0, PIXELS, Safety.SAFE)
    readers.streams.feed([(last, picture)])
    await turn()
    await turn()
    assert readers.read[last] == [Queued(20 * SLICE, 1.0), picture], "in order, and at once"
    assert not readers.read[str(20 * SLICE - 2)]
    await readers.end()


@given(
    st.lists(
        st.one_of(st.none(), st.lists(st.tuples(st.sampled_from("012"), UPDATES), max_size=4)), max_size=20
    )
)
async def test_slices_lose_nothing_and_keep_the_order(fed: list) -> None:
    """None stands for a turn of the event loop. Streams of no request that is known hear nothing."""
    with patch("engine.output_stream.SLICE", 2):
        readers = Readers(2)
        for outputs in fed:
            await turn() if outputs is None else readers.streams.feed(outputs)
        await readers.streams.fed()
        await readers.end()
    for id_, items in readers.read.items():
        given_ = [item for outputs in fed if outputs for whose, item in outputs if whose == id_]
        assert isinstance(items[-1], RequestOutput)
        pictures = [item for item in given_ if isinstance(item, ImageReady)]
        assert [item for item in items if isinstance(item, ImageReady)] == pictures
        left = iter(given_)
        for item in items[:-1]:
            assert any(_alike(item, each) for each in left), "in the order in which they came"
        if given_:
            assert _alike(items[-2], given_[-1]), "the newest always arrives"


def _alike(read: object, fed: object) -> bool:
    """A Progress may have taken over the previews of the one before."""
    if isinstance(read, Progress) and isinstance(fed, Progress):
        return (read.step, read.steps) == (fed.step, fed.steps)
    return read is fed
