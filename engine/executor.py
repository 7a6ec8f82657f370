"""The line no tensor crosses: what the control plane may ask of the device plane, and the direct way to ask
it.

Everything that crosses is requests, paths, numbers and finished uint8 pictures, so that an executor in
another process can take this one's place.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from engine.batch import BatchKey, PictureProgress, ScheduledBatch
from engine.catalog import ModelInfo
from engine.errors import EngineError, GenerationFailed
from engine.output import Loading, Result
from engine.request import Request

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

log = logging.getLogger(__name__)

_CLOSING_SECONDS = 4.0
"""How long closing waits for what runs beside the steps; an import of torch cannot be cut short."""
_EXIT_SECONDS = 5.0
"""How long the end of the process waits for what is left then: together less than the ten that a container is given."""


class EngineClosing(BaseException):
    """Ends work beside the steps whose engine is being closed. No Exception, so that no library takes it for its own trouble."""


Finished = tuple[str, Result]
"""The id of a request, and what it has to show."""


@dataclass(frozen=True)
class StepTiming:
    """How long one step's rows took to denoise, without encoding and decoding."""

    key: BatchKey
    rows: int
    widest: int
    """Rows of its widest picture."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """What one step did. The worker has forgotten the requests in `failures`; the others are unharmed."""

    progress: tuple[PictureProgress, ...] = ()
    finished: tuple[Finished, ...] = ()
    previews: Mapping[tuple[str, int], npt.NDArray[np.uint8]] = field(default_factory=dict)
    """(request id, picture) → thumbnail; only of the requests that previews were asked for."""
    unread_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the requests that started in this step: the words past the text encoder's window."""
    failures: Mapping[str, GenerationFailed] = field(default_factory=dict)
    timings: tuple[StepTiming, ...] = ()
    """Of this step, or of earlier ones where the device runs behind its commands."""
    unprepared: tuple[str, ...] = ()
    """Requests of the batch that were not stepped, because the files that they name have to be read first, for the model of
    its key: see `prepare`.
    """
    row_budget: int | None = None
    """Set when the device turned out to hold fewer rows than it was given."""
    evicted: tuple[str, ...] = ()
    """Models of the batch's `unneeded` that went because memory ran out."""


class WorkerInterface(Protocol):
    """What the device plane offers. Made and loaded on a loader thread; the rest runs on the engine thread."""

    @property
    def device(self) -> str:
        """What pictures are made on, for people: `cpu`, or the name of the GPU."""
        ...

    @property
    def memory_budget(self) -> int:
        """Most bytes that weights may take: of all loaded models, and what requests name beside them."""
        ...

    @property
    def named_bytes(self) -> int:
        """Bytes of what was prepared for requests, and is kept for others that name the same."""
        ...

    def fetch(self, model: str, report: Callable[[Loading], None]) -> int:
        """Download a model where needed, and say how many bytes it will take of the device's memory. Raises
        GenerationFailed or ModelUnavailable, also for a model that fits in no way.
        """
        ...

    def load(self, model: str, report: Callable[[Loading], None]) -> ModelInfo:
        """Download and load a model, and say what it is, now that its files are surely here. Raises
        GenerationFailed or ModelUnavailable with what can be done about it.
        """
        ...

    def prepare(self, request: Request) -> None:
        """Read the files that a request names, while other requests are stepped: on any thread but the engine's.
        `request.model` is what they are read for, which may be a copy of the model. Raises GenerationFailed.
        """
        ...

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        """Run one step; `previews` names the requests that want thumbnails of it."""
        ...

    def evict(self, model: str) -> None:
        """Free what a loaded model takes. Requests that have begun go on once it is loaded again."""
        ...

    def shrink(self, most_bytes: int) -> int:
        """Free what is kept of earlier requests' files, the longest unused first, until `named_bytes` is no more than that,
        as far as requests under way allow; what it is then.
        """
        ...

    def forget(self, request_id: str) -> None:
        """Free what is held for a request."""
        ...

    def close(self) -> None:
        """Free everything, and end what other threads fetch, load or prepare with EngineClosing as soon as they can be
        interrupted, now and from now on.
        """
        ...


@dataclass(frozen=True)
class Fetched:
    """A model's files are here; it can be loaded once there is room for its bytes within the budget's."""

    model: str
    size: int
    budget: int


@dataclass(frozen=True)
class Loaded:
    """A model is ready, or could not be loaded."""

    model: str
    error: EngineError | None = None
    info: ModelInfo | None = None
    device: str = ""


@dataclass(frozen=True)
class Prepared:
    """The files that a request names are read, or could not be."""

    request: Request
    error: GenerationFailed | None = None
    named_bytes: int = 0
    """What all requests' files take by now."""


class Executor(Protocol):
    """How the core reaches the device plane."""

    def load(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        """Start fetching a model in the background; `report` is called from another thread: last with Fetched, which
        asks for `place`, or with Loaded where nothing is left to be done or it failed.
        """
        ...

    def place(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        """Start loading a fetched model in the background; `report` is called from another thread, with Loaded last."""
        ...

    def evict(self, model: str) -> None:
        """Free what a loaded model takes."""
        ...

    def shrink(self, most_bytes: int) -> int:
        """Free what is kept of earlier requests' files until all takes no more than that, as far as it can; the bytes that
        are left.
        """
        ...

    def prepare(self, request: Request, report: Callable[[Prepared], None]) -> None:
        """Start reading the files that a request names; `report` is called from another thread. Whoever aborts the
        request meanwhile forgets it once more when it is prepared.
        """
        ...

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput: ...

    def forget(self, request_id: str) -> None: ...

    def close(self) -> None: ...


class DirectExecutor:
    """Calls the worker on the caller's thread; fetches and loads models on threads of their own, loading one after the
    other.
    """

    def __init__(self, make_worker: Callable[[], WorkerInterface]) -> None:
        self._make_worker = make_worker
        self._worker: WorkerInterface | None = None
        self._making = threading.Lock()
        self._reading = threading.Lock()
        self._loading = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def load(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        def work() -> Fetched:
            with self._making:
                if self._worker is None:
                    # Made here and not earlier because it imports torch, which takes seconds.
                    self._worker = self._make_worker()
                if self._closed:
                    self._worker.close()
                    raise EngineClosing
            return Fetched(model, self._worker.fetch(model, report), self._worker.memory_budget)

        self._in_background(f"fetch {model}", model, work, report)

    def place(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        def work() -> Loaded:
            assert self._worker is not None, "only fetched models are loaded"
            with self._loading:
                info = self._worker.load(model, report)
            return Loaded(model, None, info, self._worker.device)

        self._in_background(f"load {model}", model, work, report)

    def prepare(self, request: Request, report: Callable[[Prepared], None]) -> None:
        def run() -> None:
            error: GenerationFailed | None = None
            try:
                assert self._worker is not None, "only loaded models are scheduled"
                # One after the other, so that what two requests name is read once.
                with self._reading:
                    self._worker.prepare(request)
            except GenerationFailed as failure:
                error = failure
            except EngineClosing:
                return
            except BaseException as failure:  # Whatever a library raises, the request has to hear of it.
                log.exception("reading what %s names failed", request.request_id)
                reason = _reason(failure)
                error = GenerationFailed(
                    "generation_failed", f"The picture could not be made: {reason}", reason=reason
                )
            report(Prepared(request, error, 0 if self._worker is None else self._worker.named_bytes))

        self._start(f"prepare {request.request_id}", run)

    def _in_background(
        self,
        name: str,
        model: str,
        work: Callable[[], Fetched | Loaded],
        report: Callable[[Loading | Fetched | Loaded], None],
    ) -> None:
        def run() -> None:
            result: Fetched | Loaded
            try:
                result = work()
            except EngineClosing:
                return
            except EngineError as error:
                log.warning("loading %s failed: %s", model, error)
                result = Loaded(model, error)
            except BaseException as error:  # Whatever a library raises, the queue has to hear of it.
                log.exception("loading %s failed", model)
                reason = _reason(error)
                sentence = f"{model} could not be loaded: {reason}"
                result = Loaded(
                    model, GenerationFailed("model_load_failed", sentence, model=model, reason=reason)
                )
            report(result)

        self._start(name, run)

    def _start(self, name: str, run: Callable[[], None]) -> None:
        # A daemon, because a download in progress cannot always be interrupted and must not hold up the end of the
        # process.
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        assert self._worker is not None, "only loaded models are scheduled"
        return self._worker.execute(batch, previews)

    def evict(self, model: str) -> None:
        if self._worker is not None:
            self._worker.evict(model)

    def shrink(self, most_bytes: int) -> int:
        return 0 if self._worker is None else self._worker.shrink(most_bytes)

    def forget(self, request_id: str) -> None:
        if self._worker is not None:
            self._worker.forget(request_id)

    def close(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.close()
        until = time.monotonic() + _CLOSING_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                # The interpreter ends daemons wherever they are; inside of torch's own code that aborts the process.
                atexit.register(thread.join, _EXIT_SECONDS)


def _reason(error: BaseException) -> str:
    """What it says, or else what it is: some, such as SystemExit, say no more than a number."""
    return str(error) if isinstance(error, Exception) and str(error) else repr(error)
