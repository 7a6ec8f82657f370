"""The asyncio side of requests: of each an iterator of updates that ends with exactly one RequestOutput."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from engine.output import Loading, Progress, Queued, RequestOutput, Update

SLICE = 50
"""How many items streams are fed before the event loop goes on with other work; what readers make of these takes up to three
milliseconds.
"""


class OutputStream:
    """Iterate it once: `Update`s in order, then exactly one `RequestOutput`, then the end.

    A slow reader never blocks the engine: an unread Queued, Loading or Progress is replaced by the next one
    (newest wins, previews of the older Progress being kept where the newer has none); an ImageReady and the
    RequestOutput are never dropped. `put` must be called on the event loop's thread.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self._items: deque[Update | RequestOutput] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, item: Update | RequestOutput) -> None:
        """Add an item; anything after the RequestOutput is ignored."""
        if self._closed:
            return
        last = self._items[-1] if self._items else None
        if isinstance(item, Queued | Loading | Progress) and isinstance(last, Queued | Loading | Progress):
            self._items.pop()
            if isinstance(item, Progress) and isinstance(last, Progress) and not item.previews:
                item = Progress(item.step, item.steps, last.previews)
        self._items.append(item)
        self._closed = isinstance(item, RequestOutput)
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[Update | RequestOutput]:
        while True:
            while not self._items:
                self._arrived.clear()
                await self._arrived.wait()
            item = self._items.popleft()
            yield item
            if isinstance(item, RequestOutput):
                return


class OutputStreams:
    """The open streams, by request id. Call it on the event loop.

    Places of thousands of requests change at once. They are told a slice at a time, so that the event loop is never held
    for long, and only the newest of those that one request has not been told yet; whatever else comes goes first. Every
    stream is fed in order.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: dict[str, OutputStream] = {}
        self._first: deque[tuple[str, Update | RequestOutput]] = deque()
        self._places: OrderedDict[str, Queued | Loading] = OrderedDict()
        """What those who wait are to be told when there is nothing else; those who have waited for it longest first."""
        self._all_fed = asyncio.Event()
        self._all_fed.set()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._streams

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, request_id: str) -> OutputStream:
        """A stream, which is here until it has been fed its RequestOutput."""
        stream = self._streams[request_id] = OutputStream(request_id)
        return stream

    def feed(self, outputs: Iterable[tuple[str, Update | RequestOutput]]) -> None:
        """Let streams yield these, soon; those of requests that have ended are dropped."""
        for request_id, item in outputs:
            if isinstance(item, Queued | Loading):
                self._places[request_id] = item
                continue
            if request_id in self._places:
                self._first.append((request_id, self._places.pop(request_id)))
            self._first.append((request_id, item))
        if self._all_fed.is_set():
            self._all_fed.clear()
            self._feed_slice()

    def end(self, **how: Any) -> None:
        """Feed a RequestOutput to every stream that has none; `how`: its values but the request id."""
        self.feed([(request_id, RequestOutput(request_id=request_id, **how)) for request_id in self._streams])

    async def fed(self) -> None:
        """Wait until everything has been fed."""
        await self._all_fed.wait()

    def _feed_slice(self) -> None:
        for _ in range(SLICE):
            if not self._first and not self._places:
                self._all_fed.set()
                return
            request_id, item = self._first.popleft() if self._first else self._places.popitem(last=False)
            stream = self._streams.get(request_id)
            if stream is None:
                continue
            stream.put(item)
            if isinstance(item, RequestOutput):
                del self._streams[request_id]
        self._loop.call_soon(self._feed_slice)
