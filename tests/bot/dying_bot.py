"""`fourfold run`, unchanged, that kills itself with SIGKILL at one named point once the test has armed it.

The test writes the point's name into the file FOURFOLD_HOME/armed; without the file this is the real bot.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARMED = "armed"
POINTS = (
    "row inserted, nothing answered",
    "answered, message not remembered",
    "message remembered, nothing submitted",
    "in the middle of the steps",
    "inside an image write",
    "pictures written, row not posting",
    "row posting, nothing posted",
    "posted, row does not know",
    "row knows, progress message still there",
    "inside the copy of an upscale",
    "in the middle of a variation",
    "cancelled row, nobody told",
)


def main() -> int:
    """Plant the points and run the bot."""
    from bot import image_store
    from bot.cli import main as fourfold
    from bot.database import JobRepository
    from bot.delivery.poster import Poster
    from bot.domain import JobState
    from bot.services import JobService
    from engine import GenerateRequest
    from engine.async_engine import AsyncEngine
    from engine.core import EngineCore
    from engine.executor import DirectExecutor

    # The engine compares finished pictures besides, in requests and steps of its own; the bot dies of none of these.
    def drawing(_engine: Any, request: Any) -> bool:
        return isinstance(request, GenerateRequest)

    def denoising(_executor: Any, batch: Any, *_previews: Any) -> bool:
        return bool(batch.key.stage == "denoise")

    _after(JobService, "create", POINTS[0])
    _before(JobService, "shown", POINTS[1])
    _before_sync(AsyncEngine, "submit", POINTS[2], when=drawing)
    _before_sync(DirectExecutor, "execute", POINTS[3], calls=5, when=denoising)
    _before_sync(image_store.Path, "replace", POINTS[4])
    _before(JobRepository, "finish", POINTS[5])
    _before(Poster, "post", POINTS[6])
    _before(JobService, "posted", POINTS[7])
    _after(JobService, "posted", POINTS[8])
    _before(image_store.ImageStore, "copy", POINTS[9])
    _before_sync(DirectExecutor, "execute", POINTS[10], calls=5, when=denoising)
    _after(JobRepository, "move", POINTS[11], argument=JobState.CANCELLED)
    _hold_still(EngineCore, "step", POINTS[11])
    return fourfold(["run"])


def _hold_still(owner: type, name: str, point: str) -> None:
    """While the point is armed the engine takes no step, so that a job cannot end before it is cancelled."""
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def planted(*args: Any) -> Any:
        if _is_armed(point):
            threading.Event().wait(0.02)
            return []
        return original(*args)

    setattr(owner, name, planted)


def _die_if_armed(point: str) -> None:
    if _is_armed(point):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_armed(point: str) -> bool:
    armed = Path(os.environ["FOURFOLD_HOME"]) / ARMED
    return armed.exists() and armed.read_text(encoding="utf-8") == point


def _before(owner: type, name: str, point: str) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def planted(*args: Any, **values: Any) -> Any:
        _die_if_armed(point)
        return await original(*args, **values)

    setattr(owner, name, planted)


def _after(owner: type, name: str, point: str, *, argument: object = None) -> None:
    """After the call; with `argument`, after a call that has it."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def planted(*args: Any, **values: Any) -> Any:
        result = await original(*args, **values)
        if argument is None or argument in args:
            _die_if_armed(point)
        return result

    setattr(owner, name, planted)


def _before_sync(
    owner: type, name: str, point: str, *, calls: int = 1, when: Callable[..., bool] = lambda *_: True
) -> None:
    """Before that many calls of which `when` is true."""
    original: Callable[..., Any] = getattr(owner, name)
    left = [calls]

    @functools.wraps(original)
    def planted(*args: Any, **values: Any) -> Any:
        if _is_armed(point) and when(*args):
            left[0] -= 1
            if left[0] <= 0:
                _die_if_armed(point)
        return original(*args, **values)

    setattr(owner, name, planted)


if __name__ == "__main__":
    sys.exit(main())
