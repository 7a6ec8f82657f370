"""Discord's rate limits: fixed windows per bucket, a global one, and the headers that announce them."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from bot.playground.clock import Clock
from bot.playground.errors import DiscordError


@dataclass(frozen=True)
class Bucket:
    """`limit` requests per `window` seconds for each value of the route's major parameters (its regex groups)."""

    route: re.Pattern[str]
    limit: int
    window: float


BUCKETS = (
    # Measured on Discord by its community: 5 per 2 s for each interaction token, 5 per 5 s for each channel's sends and
    # edits. Discord publishes none of these numbers; the others below are of the order seen in its headers.
    Bucket(re.compile(r"(?:POST|PATCH|DELETE|GET) /webhooks/(\d+/[^/]+)(?:/.*)?"), 5, 2.0),
    Bucket(re.compile(r"POST /channels/(\d+)/messages"), 5, 5.0),
    Bucket(re.compile(r"PATCH /channels/(\d+)/messages/\d+"), 5, 5.0),
    Bucket(re.compile(r"DELETE /channels/(\d+)/messages/\d+"), 5, 1.0),
    Bucket(re.compile(r"GET /channels/(\d+)/messages(?:/\d+)?"), 10, 5.0),
    Bucket(re.compile(r"POST /channels/(\d+)/typing"), 5, 5.0),
)

GLOBAL_LIMIT, GLOBAL_WINDOW = 50, 1.0
OLD_EDITS, OLD_EDITS_WINDOW, OLD_MESSAGE_AGE = 3, 6.0, 3600.0
IDENTIFIES, IDENTIFIES_WINDOW = 1000, 86_400.0
COMMAND_CREATES, COMMAND_CREATES_WINDOW = 200, 86_400.0
INVALID_REQUESTS, INVALID_REQUESTS_WINDOW, BAN = 10_000, 600.0, 86_400.0
"""Answers 401, 403 and 429 that ban an address, and for how long: a day, by its community's reports."""


@dataclass
class _Window:
    ends: float
    used: int = 0


class RateLimits:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def take(self, method: str, path: str, *, exempt_from_global: bool) -> dict[str, str]:
        """Count one request; returns the headers of its reply or raises 429."""
        if not exempt_from_global:
            window = self._window("global", "", GLOBAL_WINDOW)
            if window.used > GLOBAL_LIMIT:
                raise self._refusal(window, is_global=True)
        for bucket in BUCKETS:
            if match := bucket.route.fullmatch(f"{method} {path}"):
                name = hashlib.blake2b(bucket.route.pattern.encode(), digest_size=16).hexdigest()
                window = self._window(name, match[1], bucket.window)
                headers = {
                    "X-RateLimit-Limit": str(bucket.limit),
                    "X-RateLimit-Remaining": str(max(0, bucket.limit - window.used)),
                    "X-RateLimit-Reset": f"{window.ends:.3f}",
                    "X-RateLimit-Reset-After": f"{self._remaining(window):.3f}",
                    "X-RateLimit-Bucket": name,
                }
                if window.used > bucket.limit:
                    raise self._refusal(window, headers=headers)
                return headers
        return {}

    def take_old_edit(self, channel_id: str, age: float) -> None:
        """Edits of messages older than an hour have a limit of their own, with its own error code."""
        if age > OLD_MESSAGE_AGE:
            window = self._window("old edits", channel_id, OLD_EDITS_WINDOW)
            if window.used > OLD_EDITS:
                message = "Maximum number of edits to messages older than 1 hour reached. Try again later"
                raise self._refusal(window, code=30046, message=message)

    def take_command_creates(self, guild_id: str | None, count: int) -> None:
        """New commands of one guild, or of all of them, have a limit of their own, with its own error code."""
        if count == 0:
            return
        window = self._window("command creates", guild_id or "", COMMAND_CREATES_WINDOW, count)
        if window.used > COMMAND_CREATES:
            window.used -= count  # A refused list creates nothing.
            message = f"Max number of daily application command creates has been reached ({COMMAND_CREATES})"
            raise self._refusal(window, code=30034, message=message)

    def take_invalid(self) -> None:
        """Count an answer that stands for an invalid request; too many of them ban their address."""
        if self._window("invalid", "", INVALID_REQUESTS_WINDOW).used >= INVALID_REQUESTS:
            self._window("ban", "", BAN)

    def banned_for(self) -> float:
        """Seconds for which every request is turned away unread; 0 where there is no ban."""
        ban = self._running("ban", "")
        return 0.0 if ban is None else self._remaining(ban)

    def take_identify(self) -> bool:
        """Count one IDENTIFY; False once the day's are used up."""
        return self._window("identify", "", IDENTIFIES_WINDOW).used <= IDENTIFIES

    def session_start_limit(self) -> dict[str, int]:
        """What `GET /gateway/bot` says of the day's IDENTIFYs; `reset_after` in milliseconds."""
        window = self._running("identify", "")
        return {
            "total": IDENTIFIES,
            "remaining": IDENTIFIES if window is None else max(0, IDENTIFIES - window.used),
            "reset_after": 0 if window is None else round(self._remaining(window) * 1000),
            "max_concurrency": 1,
        }

    def _running(self, bucket: str, key: str) -> _Window | None:
        window = self._windows.get((bucket, key))
        return window if window is not None and window.ends > self._clock.now() else None

    def _window(self, bucket: str, key: str, seconds: float, count: int = 1) -> _Window:
        now = self._clock.now()
        if len(self._windows) > 1000:
            self._windows = {name: window for name, window in self._windows.items() if window.ends > now}
        window = self._running(bucket, key)
        if window is None:
            window = self._windows[bucket, key] = _Window(now + seconds)
        window.used += count
        return window

    def _remaining(self, window: _Window) -> float:
        # Rounded up, so that a client that waits exactly this long is never early.
        return max(0.001, math.ceil((window.ends - self._clock.now()) * 1000) / 1000)

    def _refusal(
        self,
        window: _Window,
        *,
        headers: dict[str, str] | None = None,
        is_global: bool = False,
        code: int = 0,
        message: str = "You are being rate limited.",
    ) -> RateLimited:
        return RateLimited(
            self._remaining(window), headers or {}, is_global=is_global, code=code, message=message
        )


class RateLimited(DiscordError):
    """429. `Via` marks it as Discord's own: without that header discord.py takes it for a ban by Cloudflare."""

    def __init__(
        self,
        retry_after: float,
        headers: dict[str, str],
        *,
        is_global: bool = False,
        code: int = 0,
        message: str = "You are being rate limited.",
    ) -> None:
        super().__init__(429, code, message, extra={"retry_after": retry_after, "global": is_global})
        self.headers = {
            "Via": "1.1 playground",
            "Retry-After": str(math.ceil(retry_after)),
            "X-RateLimit-Scope": "global" if is_global else "user",
            **({"X-RateLimit-Global": "true"} if is_global else headers),
        }
