"""The asyncio face: messages reach the engine thread through an inbox, outputs come back to the event loop."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.catalog import ModelInfo
from engine.config import EngineConfig
from engine.core import EngineCore, Output
from engine.errors import EngineDead, GenerationFailed, RequestRejected
from engine.executor import Executor, Fetched, Loaded, Prepared
from engine.output import EngineStats, FinishReason, Loading
from engine.output_stream import OutputStream, OutputStreams
from engine.request import Request
from engine.validation import rounded, validate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Abort:
    request_id: str


class _Close:
    """Ask the engine thread to end."""


_Message = Request | _Abort | _Close | Loading | Fetched | Loaded | Prepared


class AsyncEngine:
    """The local Engine. `launch_engine` makes it; call its methods on the event loop that made it."""

    def __init__(self, executor: Executor, models: Sequence[ModelInfo], config: EngineConfig) -> None:
        """Start the engine thread and begin to load the first model; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._models = {model.name: model for model in models}
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._streams = OutputStreams(self._loop)
        self._core = EngineCore(executor, self._models, config, self._inbox.put)
        self._stats = self._core.stats()
        self._dead: EngineDead | None = None
        # A daemon, so that a host that dies without closing the engine can end; `close` is the orderly way.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> OutputStream:
        """Queue a request; sides between two that the model draws are rounded, and its RequestOutput says so.

        Raises:
            RequestRejected: nothing has been queued. EngineDead: the engine serves nobody any more.
        """
        if self._dead is not None:
            raise self._dead
        if request.request_id in self._streams:
            raise RequestRejected(
                "request_id_in_use",
                f"The request id {request.request_id} is already in use.",
                request_id=request.request_id,
            )
        model = self._models.get(request.model)
        if model is None:
            allowed = ", ".join(self._models)
            raise RequestRejected(
                "model_unknown",
                f"There is no model called {request.model}; there are {allowed}.",
                model=request.model,
                allowed=allowed,
            )
        validate(rounded(request, model), model)
        stream = self._streams.open(request.request_id)
        self._inbox.put(request)
        return stream

    def abort(self, request_id: str) -> None:
        """Stop a request within one denoising step; unknown ids are ignored."""
        self._inbox.put(_Abort(request_id))

    def models(self) -> Sequence[ModelInfo]:
        """The models that requests may name, the default first."""
        return tuple(self._models.values())

    def stats(self) -> EngineStats:
        """The newest snapshot that the engine thread left."""
        return self._stats

    async def close(self) -> None:
        """End every open stream as aborted and stop the engine thread; returns within one step."""
        if self._dead is None:
            self._dead = EngineDead("engine_closed", "The engine is closed.")
        self._inbox.put(_Close())
        await asyncio.to_thread(self._thread.join)
        # What the thread sent with call_soon_threadsafe is delivered before anybody goes on.
        await asyncio.sleep(0)
        await self._streams.fed()

    def _run(self) -> None:
        """The engine thread: take in messages, step while there is work, wait while there is none."""
        try:
            self._core.load(next(iter(self._models)))
            while True:
                outputs: list[Output] = []
                for message in self._messages(wait=not self._core.has_work):
                    if isinstance(message, _Close):
                        self._publish(outputs + self._core.close())
                        return
                    outputs += self._take(message)
                # A request that has just come is told its place before a step, which may take a while, begins.
                self._publish(outputs + self._core.queue_updates())
                self._publish(self._core.step() + self._core.queue_updates())
        except Exception as error:  # Nobody above could hear of it, and every stream has to end.
            log.exception("the engine thread died")
            dead = EngineDead(
                "engine_dead", f"The engine stopped: {error}. Restart Fourfold.", reason=str(error)
            )
            self._to_loop(self._die, dead)

    def _messages(self, *, wait: bool) -> list[_Message]:
        messages = [self._inbox.get()] if wait else []
        while not self._inbox.empty():
            messages.append(self._inbox.get())
        return messages

    def _take(self, message: Request | _Abort | Loading | Fetched | Loaded | Prepared) -> list[Output]:
        match message:
            case _Abort(request_id):
                return self._core.abort(request_id)
            case Loading() | Fetched() | Loaded():
                return self._core.on_load(message)
            case Prepared():
                return self._core.on_prepared(message)
            case request:
                return self._core.add(request)

    def _publish(self, outputs: list[Output]) -> None:
        self._stats = self._core.stats()
        if outputs:
            self._to_loop(self._streams.feed, outputs)

    def _to_loop(self, function: Callable[[Any], None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            log.debug("the event loop is closed; nobody is left to tell")

    def _die(self, dead: EngineDead) -> None:
        self._dead = dead
        failure = GenerationFailed(dead.code, str(dead), **dead.values)
        self._streams.end(finish_reason=FinishReason.FAILED, error=failure)
