"""Trouble on demand: answers that fail, slow or lost replies, dropped sockets, refused resumes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass
class Fault:
    """One kind of trouble for requests whose `METHOD /path` (without /api/v10) matches `route`, `times` times."""

    route: re.Pattern[str]
    times: int
    status: int | None = None
    code: int = 0
    message: str = "Injected fault"
    retry_after: float = 0.2
    delay: float = 0.0
    """Real seconds to wait before anything else happens."""
    lose: Literal["", "request", "reply"] = ""
    """"request": the connection breaks before anything is done; "reply": after it was done, so the bot cannot know."""


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.resumes_to_refuse = 0
        self._drop: Callable[[], int] = lambda: 0
        self._reconnect: Callable[[], int] = lambda: 0

    def fail(
        self, route: str, status: int, *, times: int = 1, code: int = 0, message: str = "Injected fault"
    ) -> None:
        """Answer the next `times` requests matching the regular expression `route`, as in "PATCH /channels/.*", with `status`."""
        self._faults.append(Fault(re.compile(route), times, status, code, message))

    def rate_limit(self, route: str, *, retry_after: float = 0.2, times: int = 1) -> None:
        """Answer 429 with this `retry_after` in seconds."""
        self._faults.append(
            Fault(re.compile(route), times, 429, 0, "You are being rate limited.", retry_after)
        )

    def delay(self, route: str, seconds: float, *, times: int = 1) -> None:
        self._faults.append(Fault(re.compile(route), times, delay=seconds))

    def lose(self, route: str, what: Literal["request", "reply"], *, times: int = 1) -> None:
        self._faults.append(Fault(re.compile(route), times, lose=what))

    def drop_sockets(self) -> int:
        """Cut every gateway connection without a close frame; returns how many there were."""
        return self._drop()

    def ask_to_reconnect(self) -> int:
        """Send op 7 on every gateway connection."""
        return self._reconnect()

    def refuse_resume(self, times: int = 1) -> None:
        """Answer the next resumes with op 9 (session invalid)."""
        self.resumes_to_refuse = times

    def clear(self) -> None:
        self._faults.clear()
        self.resumes_to_refuse = 0

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request, counted as used."""
        for fault in self._faults:
            if fault.route.fullmatch(f"{method} {path}"):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def bind(self, drop: Callable[[], int], reconnect: Callable[[], int]) -> None:
        """Called by the gateway, which owns the sockets."""
        self._drop, self._reconnect = drop, reconnect
