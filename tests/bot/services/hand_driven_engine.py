"""An engine whose every move is the test's: the edge to the GPU, for order, failure and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine import (
    EngineDead,
    EngineStats,
    FinishReason,
    GenerateRequest,
    GenerationFailed,
    ImageReady,
    ModelInfo,
    OutputStream,
    Progress,
    Queued,
    RequestOutput,
    Safety,
)
from engine.validation import validate
from tests.bot.examples import MODEL


class HandDrivenEngine:
    """Holds what was submitted until a test makes it go on. Requests are checked as the real engine checks them."""

    def __init__(self, *models: ModelInfo, moved: Callable[[], None] = lambda: None) -> None:
        """`moved` is called whenever a request comes or goes."""
        self._moved = moved
        self.known = models or (MODEL,)
        self.requests: dict[str, GenerateRequest] = {}
        self.streams: dict[str, OutputStream] = {}
        self.aborted: list[str] = []
        self.dead: EngineDead | None = None
        self.seconds_per_row_step: float | None = None

    def submit(self, request: GenerateRequest) -> OutputStream:
        if self.dead is not None:
            raise self.dead
        validate(request, next(model for model in self.known if model.name == request.model))
        assert request.request_id not in self.streams, "a job was submitted twice"
        self.requests[request.request_id] = request
        stream = self.streams[request.request_id] = OutputStream(request.request_id)
        stream.put(Queued(len(self.streams), None))
        self._moved()
        return stream

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)
        self._end(request_id, RequestOutput(request_id=request_id, finish_reason=FinishReason.ABORTED))

    def models(self) -> Sequence[ModelInfo]:
        return self.known

    def stats(self) -> EngineStats:
        return EngineStats(waiting=0, running=0, seconds_per_row_step=self.seconds_per_row_step)

    @property
    def waiting(self) -> list[str]:
        """Ids of unfinished requests in the order of submission."""
        return list(self.streams)

    def progress(self, request_id: str, step: int, steps: int, *, previews: bool = False) -> None:
        thumbnails = tuple(picture(seed, 8) for seed in self.requests[request_id].seeds) if previews else ()
        self.streams[request_id].put(Progress(step, steps, thumbnails))

    def make_picture(self, request_id: str, index: int, safety: Safety = Safety.UNCHECKED) -> None:
        seed = self.requests[request_id].seeds[index]
        self.streams[request_id].put(ImageReady(index, picture(seed, 64), safety))

    def complete(self, request_id: str) -> None:
        self._end(
            request_id,
            RequestOutput(
                request_id=request_id,
                finish_reason=FinishReason.COMPLETED,
                device_seconds=1.5,
                unread_words=("late",),
                unknown_words=("zorb",),
            ),
        )

    def run(self, request_id: str) -> None:
        """All the way to the end."""
        self.progress(request_id, 1, 2, previews=True)
        for index in range(len(self.requests[request_id].seeds)):
            self.make_picture(request_id, index)
        self.complete(request_id)

    def fail(self, request_id: str, error: GenerationFailed) -> None:
        self._end(
            request_id, RequestOutput(request_id=request_id, finish_reason=FinishReason.FAILED, error=error)
        )

    def die(self) -> None:
        """The engine thread stops, as AsyncEngine reports it."""
        self.dead = EngineDead("engine_dead", "The engine stopped: out of luck.")
        for request_id in self.waiting:
            self.fail(request_id, GenerationFailed("engine_dead", str(self.dead)))

    def close(self) -> None:
        """What AsyncEngine.close does to its streams."""
        self.dead = EngineDead("engine_closed", "The engine is closed.")
        for request_id in self.waiting:
            self.abort(request_id)

    def _end(self, request_id: str, output: RequestOutput) -> None:
        stream = self.streams.pop(request_id, None)
        if stream is not None:
            stream.put(output)
            self._moved()


def picture(seed: int, side: int) -> npt.NDArray[np.uint8]:
    """Noise that depends on the seed alone."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def small(**changes: object) -> ModelInfo:
    """A model of 64 px."""
    model = replace(MODEL, native_width=64, native_height=64, min_side=32, max_side=128)
    return replace(model, **changes)  # type: ignore[arg-type]  # any field of ModelInfo
