"""Stopping on purpose: Ctrl-C and SIGTERM both end the service in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine


async def until_stopped(service: Coroutine[None, None, None]) -> None:
    """Await `service`; SIGTERM cancels it (as asyncio does for Ctrl-C), so that its context managers close what they opened."""
    task = asyncio.ensure_future(service)
    with contextlib.suppress(
        NotImplementedError
    ):  # Windows has no loop signal handlers; Ctrl-C works there all the same.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
