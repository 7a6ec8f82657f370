"""Whose turn it is: the account of every share, and heaps that stay cheap with ten thousand requests waiting."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = tuple[float, ...]
Member = TypeVar("Member", bound=Hashable)
ShareId = tuple[bool, str]
"""(is the lane relaxed, share_key): the lanes keep separate accounts, so that work done relaxed costs nobody his turn
in the fast lane.
"""


class LazyHeap(Generic[Member]):
    """The least of members whose keys change: entries that no longer hold are dropped when they surface.

    Every operation is O(log n) on average. Keys of different members differ.
    """

    def __init__(self) -> None:
        self._keys: dict[Member, Key] = {}
        self._heap: list[tuple[Key, Member]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def first(self) -> tuple[Key, Member] | None:
        """The least key and its member, or None when nobody is here."""
        while self._heap:
            key, member = self._heap[0]
            if self._keys.get(member) == key:
                return self._heap[0]
            heapq.heappop(self._heap)
        return None

    def put(self, member: Member, key: Key) -> None:
        """Enter a member, or change its key."""
        if self._keys.get(member) == key:
            return
        self._keys[member] = key
        heapq.heappush(self._heap, (key, member))
        if len(self._heap) > 2 * len(self._keys) + 16:
            self._heap = [(key, member) for member, key in self._keys.items()]
            heapq.heapify(self._heap)

    def drop(self, member: Member) -> None:
        """Forget a member; one that is not here is ignored."""
        self._keys.pop(member, None)


@dataclass
class Line:
    """The requests of a share that could step with one model, were it here: those held back are not among them."""

    by_age: LazyHeap[str] = field(default_factory=LazyHeap)
    """Request ids by (submitted_at, arrival)."""
    eldest: str | None = None
    """Whose age counts: one request at a time, or a flood would be served whole once it is over age."""
    turn_ended: float = -math.inf
    """When its last over-age request ended: the next one's age counts from then, see `since`."""

    def since(self, submitted_at: float) -> float:
        """From when the age of its eldest request counts."""
        return max(submitted_at, self.turn_ended)


@dataclass
class Share:
    """What one share_key has been given in one lane."""

    id: ShareId
    service: float
    """Row-steps done ÷ weight, on top of what it began with: the level that was being served when it came."""
    quantum: float
    """Of service, by which shares are compared."""
    waiting: int = 0
    """Those that have not ended."""
    lines: dict[str, Line] = field(default_factory=dict)
    """By model: whoever waits for one must not keep the share's others from growing over age."""
    piles: set[Pile] = field(default_factory=set)
    """Where it has requests."""

    @property
    def level(self) -> int:
        """Its service in quanta, rounded down."""
        return int(self.service // self.quantum)


class Pile:
    """Requests of which any could be next, in order.

    Heaps within a heap: a share whose service grew moves as one entry, however many requests it has.
    """

    def __init__(self) -> None:
        self._shares: LazyHeap[ShareId] = LazyHeap()
        self._requests: dict[ShareId, LazyHeap[str]] = {}
        self._eldest: LazyHeap[str] = LazyHeap()

    def __len__(self) -> int:
        return len(self._requests)

    def first(self, over_age_before: float) -> tuple[Key, str] | None:
        """Who goes first and its place in the one order: (0, since, arrival) over age, else (1, lane, level, work
        left, arrival). `over_age_before`: an age that counts from earlier than this is over age.
        """
        eldest = self._eldest.first()
        if eldest is not None and eldest[0][0] < over_age_before:
            return (0.0, *eldest[0]), eldest[1]
        share = self._shares.first()
        if share is None:
            return None
        request = self._requests[share[1]].first()
        assert request is not None, "a share without requests has left the pile"
        return (1.0, *share[0]), request[1]

    def put(self, request_id: str, share: ShareId, level: int, work: float, arrival: int) -> None:
        """Enter a request, or take note of the work that is left of it and the level its share has reached."""
        self._requests.setdefault(share, LazyHeap()).put(request_id, (work, arrival))
        self.move(share, level)

    def move(self, share: ShareId, level: int) -> None:
        """Take note of the level that a share has reached."""
        requests = self._requests.get(share)
        best = None if requests is None else requests.first()
        if best is not None:
            self._shares.put(share, (share[0], level, *best[0]))

    def drop(self, request_id: str, share: ShareId, level: int) -> bool:
        """Take a request out; says whether its share has others here."""
        self._eldest.drop(request_id)
        requests = self._requests.get(share)
        if requests is None:
            return False
        requests.drop(request_id)
        if len(requests):
            self.move(share, level)
            return True
        del self._requests[share]
        self._shares.drop(share)
        return False

    def put_eldest(self, request_id: str, since: float, arrival: int) -> None:
        """Say that a request is the eldest of its line, whose age counts."""
        self._eldest.put(request_id, (since, arrival))

    def drop_eldest(self, request_id: str) -> None:
        """Say that its age no longer counts."""
        self._eldest.drop(request_id)
