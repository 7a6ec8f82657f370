"""What is tried when memory runs out, rung by rung, and whose fault a failure is: only one request's, never the queue's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from engine.errors import EngineError, GenerationFailed
from engine.worker.device import is_out_of_memory
from engine.worker.interface import FrugalStage, LoadedFamily, Stage
from engine.worker.prepared_weights import PreparedWeights
from engine.worker.request_state import PictureState
from engine.worker.residency import Residency, free_memory

log = logging.getLogger(__name__)


class Ladder:
    """Does requests' work. Out of memory, it lets go of what nobody needs, then asks for less at a time, then takes the
    weights off the device, then tries once more as it is; what is left fails the one request that it belongs to.
    """

    def __init__(self, residency: Residency, weights: PreparedWeights, evict: Callable[[str], None]) -> None:
        """`weights`: what requests name and have named. `evict` frees a model that may go."""
        self._residency = residency
        self._weights = weights
        self._evict = evict
        self._model = ""
        self._unneeded: frozenset[str] = frozenset()
        self.failures: dict[str, GenerationFailed] = {}
        """Of this step, by request id."""
        self.row_budget: int | None = None
        """The most rows that the device holds, where this step has shown that."""
        self.evicted: tuple[str, ...] = ()
        """Models that had to go in this step."""

    def begin_step(self, model: str, unneeded: frozenset[str]) -> None:
        """From here on `model` is worked with; `unneeded` models may go where memory runs out."""
        self._model, self._unneeded = model, unneeded
        self.failures, self.row_budget, self.evicted = {}, None, ()

    def denoise(self, stage: Stage, pictures: Sequence[PictureState], *, again: bool = True) -> None:
        """Step every picture. Out of memory: without what nobody needs, then in halves, and a single picture in smaller parts
        where the stage knows how, with the weights off the device, or at least `again`, now that there may be more memory.
        Any other error: request by request.
        """
        if not pictures:
            return
        try:
            stage.denoise(pictures)
            return
        except Exception as error:  # noqa: BLE001 - one request's trouble stays its own.
            problem = without_frames(error)
        ids = dict.fromkeys(picture.request_id for picture in pictures)
        if is_out_of_memory(problem):
            freed = self._let_go()
            free_memory(self._residency.device)
            if freed:
                self.denoise(stage, pictures, again=again)
                return
            if len(pictures) == 1:
                saved = isinstance(stage, FrugalStage) and stage.save_memory()
                if saved or self._offload() or again:
                    self.denoise(stage, pictures, again=False)
                else:
                    self.failures[pictures[0].request_id] = as_failure(problem)
                return
            rows = sum(picture.most_rows for picture in pictures)
            self.row_budget = max(2, min(self.row_budget or rows, rows // 2))
            log.warning("the device cannot hold %d rows; trying %d", rows, self.row_budget)
            half = len(pictures) // 2
            parts = [list(pictures[:half]), list(pictures[half:])]
        elif len(ids) == 1:
            self.failures[pictures[0].request_id] = as_failure(problem)
            return
        else:
            parts = [[picture for picture in pictures if picture.request_id == id_] for id_ in ids]
        for part in parts:
            alive = [picture for picture in part if picture.request_id not in self.failures]
            self.denoise(stage, alive)

    def attempt(self, request_id: str, family: LoadedFamily, work: Callable[[], None]) -> bool:
        """Do a request's own work; out of memory: without what nobody needs, then decode in slices and tiles, then with the
        weights off the device, then once more as it is. Only the request can fail.
        """
        problem = caught(work)
        for relieve, what in (
            (self._let_go, "trying without what nobody needs"),
            (family.save_memory, "pictures are decoded in tiles from now on"),
            (self._offload, "the model's weights stay off the device from now on"),
            (lambda: True, "trying once more"),
        ):
            if problem is None or not is_out_of_memory(problem):
                break
            free_memory(self._residency.device)
            if relieve():
                log.warning("out of memory outside the denoising loop; %s", what)
                problem = caught(work)
        if problem is not None:
            self.failures[request_id] = as_failure(problem)
        return problem is None

    def _let_go(self) -> bool:
        """Free what no request needs: idle models, and what earlier requests named. False where nothing was freed."""
        before, models = self._weights.nbytes, self._unneeded
        for model in models:
            self._evict(model)
        self._unneeded = frozenset()
        self.evicted += tuple(models)
        freed = self._weights.shrink(0) < before or bool(models)
        if freed:
            log.warning(
                "out of memory; %d idle models and the files of earlier requests were let go", len(models)
            )
        return freed

    def _offload(self) -> bool:
        """Take the weights of the step's model off the device, as far as that can be."""
        return self._residency.offload(self._model)


def caught(work: Callable[[], None]) -> Exception | None:
    """What the work raised, if anything."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - one request's trouble stays its own.
        return without_frames(error)
    return None


def without_frames(error: Exception) -> Exception:
    """An out-of-memory error without its traceback, whose frames would keep every tensor of the failed work alive, so
    that a smaller try would find no more room than the one before. Other errors keep theirs, for the log.
    """
    if is_out_of_memory(error):
        error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def as_failure(error: Exception) -> GenerationFailed:
    """What the request's caller is told of an error; one that nobody foresaw is logged as it is."""
    if is_out_of_memory(error):
        return GenerationFailed(
            "out_of_memory",
            "The device does not have the memory for one picture of this size. Ask for a smaller picture, choose a smaller"
            " model, or close other programs that use the device.",
            reason=str(error),
        )
    if isinstance(error, GenerationFailed):
        return error
    if isinstance(error, EngineError):
        return GenerationFailed(error.code, str(error), **error.values)
    log.error("a request failed", exc_info=error)
    return GenerationFailed(
        "generation_failed",
        f"The picture could not be made: {error}",
        reason=f"{type(error).__name__}: {error}",
    )
