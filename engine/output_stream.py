"""The asyncio side of one request: an iterator of updates that ends with exactly one RequestOutput."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from engine.output import Loading, Progress, Queued, RequestOutput, Update


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
