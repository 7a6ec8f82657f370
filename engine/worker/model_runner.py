"""Anything on the device happens here: one step of one batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from engine.batch import BatchKey, PictureProgress, ScheduledBatch, ScheduledPicture
from engine.executor import Finished, StepOutput
from engine.output import ImageReady, Result
from engine.request import Request
from engine.worker.device import is_out_of_memory
from engine.worker.initial_picture import read_initial_picture, read_pictures
from engine.worker.interface import (
    BoundStage,
    EnlargingFamily,
    LoadedFamily,
    Stage,
    StageBefore,
    WeightsReader,
)
from engine.worker.ladder import Ladder, as_failure, caught, without_frames
from engine.worker.prepared_weights import PreparedWeights
from engine.worker.previews import thumbnails
from engine.worker.request_state import NamedFiles, PictureState, RequestState
from engine.worker.residency import Residency, free_memory
from engine.worker.second_try import not_finite, not_finite_among
from engine.worker.step_timer import StepTimer

log = logging.getLogger(__name__)


class ModelRunner:
    """Holds the state of every request that has started."""

    def __init__(self, residency: Residency) -> None:
        self._residency = residency
        self._states: dict[str, RequestState] = {}
        self._weights = PreparedWeights()
        self._ladder = Ladder(residency, self._weights, self.evict)
        self._timer = StepTimer(residency.device)

    @torch.inference_mode()
    def prepare(self, request: Request) -> None:
        """Read the files that a request names, on another thread than the engine's. Raises GenerationFailed."""
        if not self._residency.holds(request.model):
            return  # It was evicted meanwhile; once it is back, the request is prepared again.
        family = self._residency.family(request.model)
        try:
            files = family.read_weights(request) if isinstance(family, WeightsReader) else NamedFiles()
            enlarges = family.enlarges if isinstance(family, EnlargingFamily) else 1
            files = replace(
                files, picture=read_initial_picture(request, enlarges), pictures=read_pictures(request)
            )
            self._weights.put(request, files)
        except Exception as error:  # noqa: BLE001 - one request's trouble stays its own.
            raise as_failure(without_frames(error)) from None

    @torch.inference_mode()
    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        """Begin what is new, denoise every picture of the batch by one step, finish what is done."""
        key = batch.key
        family = self._residency.family(key.model)
        stage = next(stage for stage in family.stages if stage.name == key.stage)
        self._ladder.begin_step(key.model, batch.unneeded)
        requests = {picture.request.request_id: picture.request for picture in batch.pictures}
        beginning = {id_: indices for id_ in requests if (indices := self._to_begin(batch, requests[id_]))}
        unprepared = tuple(id_ for id_ in beginning if not self._is_prepared(requests[id_], key.model))
        scheduled = [one for one in batch.pictures if one.request.request_id not in unprepared]
        unread = {
            id_: self._begin(family, stage, key, requests[id_], indices)
            for id_, indices in beginning.items()
            if id_ not in unprepared
        }
        pictures = []
        for one in self._alive(scheduled):
            picture = self._states[one.request.request_id].pictures[one.index]
            picture.weight = one.weight
            pictures.append(picture)
        rows = sum(picture.weight * (1 + picture.guided) for picture in pictures)
        with self._timer.step(key, rows, max((one.rows for one in scheduled), default=0)):
            self._ladder.denoise(stage, pictures)
        again = self._find_spoiled(key, family, scheduled)
        finished = self._finish(family, stage, scheduled)
        thumbs = self._previews(family, stage, scheduled, finished, previews)
        self._hand_over(family, stage, scheduled)
        progress = tuple(
            self._progress(key, one, again=(one.request.request_id, one.index) in again)
            for one in self._alive(scheduled)
        )
        for request_id in {report.request_id for report in progress}:
            if all(picture.done for picture in self._states[request_id].pictures.values()):
                self.forget(request_id)
        for request_id in self._ladder.failures:
            self.forget(request_id)
        return StepOutput(
            progress=progress,
            finished=tuple(finished),
            previews=thumbs,
            unread_words=unread,
            failures=self._ladder.failures,
            unprepared=unprepared,
            timings=self._timer.finished(),
            row_budget=self._ladder.row_budget,
            evicted=self._ladder.evicted,
        )

    def evict(self, model: str) -> None:
        """Free a model. What is held for its requests stays, and goes on with the model once it is loaded again; a
        request whose pictures cannot leave the model begins anew, with the same seeds.
        """
        stages = self._residency.family(model).stages
        if any(isinstance(stage, BoundStage) for stage in stages):
            for state in self._states.values():
                state.begun_with = {i: begun for i, begun in state.begun_with.items() if begun.model != model}
        self._weights.leave(model)
        self._residency.evict(model)

    @property
    def named_bytes(self) -> int:
        """Of what was read of the files that requests name, and is held for them or for others."""
        return self._weights.nbytes

    def shrink(self, most_bytes: int) -> int:
        """Free what is kept of earlier requests' files, as far as needed; the bytes that are left of all."""
        return self._weights.shrink(most_bytes)

    def forget(self, request_id: str) -> None:
        self._states.pop(request_id, None)
        self._weights.forget(request_id)

    def _to_begin(self, batch: ScheduledBatch, request: Request) -> Sequence[int]:
        """The pictures of a request that are in its first step, or in the first with another copy of their model."""
        state = self._states.get(request.request_id)
        if state is None:
            return range(request.count)
        indices = [one.index for one in batch.pictures if one.request.request_id == request.request_id]
        begun = {index: key.model for index, key in state.begun_with.items()}
        return [index for index in indices if begun.get(index) != batch.key.model]

    def _is_prepared(self, request: Request, model: str) -> bool:
        return not request.names_files or self._weights.get(replace(request, model=model)) is not None

    def _begin(
        self, family: LoadedFamily, stage: Stage, key: BatchKey, request: Request, indices: Sequence[int]
    ) -> tuple[str, ...]:
        """Begin some pictures of a request, for the first time or anew; the words that are not read."""
        files = self._weights.get(replace(request, model=key.model)) or NamedFiles()
        begun = RequestState(request, files, indices)
        if self._ladder.attempt(request.request_id, family, partial(stage.begin, begun)):
            state = self._states.setdefault(request.request_id, RequestState(request, files))
            state.pictures.update(begun.pictures)
            state.begun_with.update(dict.fromkeys(indices, key))
        return begun.unread_words

    def _alive(self, pictures: Sequence[ScheduledPicture]) -> list[ScheduledPicture]:
        return [picture for picture in pictures if picture.request.request_id not in self._ladder.failures]

    def _finish(
        self, family: LoadedFamily, stage: Stage, scheduled: Sequence[ScheduledPicture]
    ) -> list[Finished]:
        """What comes of the pictures that are done, those of one request together."""
        finished: list[Finished] = []
        for request_id in dict.fromkeys(picture.request.request_id for picture in self._alive(scheduled)):
            state = self._states[request_id]
            indices = [s.index for s in scheduled if s.request.request_id == request_id]
            done = [state.pictures[index] for index in indices if state.pictures[index].done]
            if not done:
                continue
            results: list[Result] = []

            def finish(results: list[Result] = results, done: list[PictureState] = done) -> None:
                results[:] = stage.finish(done)

            if self._ladder.attempt(request_id, family, finish):
                finished += [(request_id, result) for result in results]
        return finished

    def _find_spoiled(
        self, key: BatchKey, family: LoadedFamily, scheduled: Sequence[ScheduledPicture]
    ) -> set[tuple[str, int]]:
        """The pictures that came out as no numbers and have a second try; nothing is finished of them. Others fail."""
        alive = self._alive(scheduled)
        pictures = [self._states[one.request.request_id].pictures[one.index] for one in alive]
        again = set()
        for picture in self._not_finite(family, [picture for picture in pictures if picture.pass_done]):
            log.warning("picture %d of %s came out as no numbers", picture.index, picture.request_id)
            second = key.model != self._states[picture.request_id].request.model
            if second or self._residency.dtype in (torch.float32, torch.float64):
                self._ladder.failures[picture.request_id] = not_finite(twice=second)
                continue
            picture.step, picture.predicted = 0, None
            picture.latents.zero_()  # In place, as there may be no memory for others.
            again.add((picture.request_id, picture.index))
        return again

    def _not_finite(self, family: LoadedFamily, pictures: Sequence[PictureState]) -> list[PictureState]:
        """Those that are no numbers, looked at together for a single wait, and where that fails request by request."""
        found: list[PictureState] = []

        def look(pictures: Sequence[PictureState]) -> None:
            found.extend(not_finite_among(pictures))

        if caught(partial(look, pictures)) is not None:
            for id_ in dict.fromkeys(picture.request_id for picture in pictures):
                own = [picture for picture in pictures if picture.request_id == id_]
                self._ladder.attempt(id_, family, partial(look, own))
        return found

    def _hand_over(self, family: LoadedFamily, stage: Stage, scheduled: Sequence[ScheduledPicture]) -> None:
        """Take pictures that are through a pass to the next one."""
        through: dict[str, list[int]] = {}
        for one in self._alive(scheduled):
            picture = self._states[one.request.request_id].pictures[one.index]
            if picture.pass_done and not picture.done:
                through.setdefault(picture.request_id, []).append(picture.index)
        for request_id, indices in through.items():
            assert isinstance(stage, StageBefore), "only families that can are given more passes"

            state = self._states[request_id]

            def hand_over(state: RequestState = state, indices: list[int] = indices) -> None:
                there = [state.pictures[index] for index in indices]
                stage.hand_over(state, [picture for picture in there if picture.pass_done])

            self._ladder.attempt(request_id, family, hand_over)

    def _progress(self, key: BatchKey, scheduled: ScheduledPicture, *, again: bool) -> PictureProgress:
        """`again`: it waits for its second try."""
        picture = self._states[scheduled.request.request_id].pictures[scheduled.index]
        if again:
            first = self._states[picture.request_id].begun_with[picture.index]
            key = replace(first, model=self._residency.in_float32(first.model))
            return PictureProgress(picture.request_id, picture.index, 0, picture.steps, key)
        if (current := picture.current) is not None:
            # Where sizes mix in a step, they still do in the next pass through the same stage.
            mixes = key.stage == current.stage and not key.width
            width, height = (0, 0) if mixes else (current.width, current.height)
            key = replace(key, stage=current.stage, width=width, height=height)
        next_key = None if picture.done else key
        return PictureProgress(picture.request_id, picture.index, picture.steps_done, picture.steps, next_key)

    def _previews(
        self,
        family: LoadedFamily,
        stage: Stage,
        scheduled: Sequence[ScheduledPicture],
        finished: Sequence[Finished],
        wanted: frozenset[str],
    ) -> dict[tuple[str, int], npt.NDArray[np.uint8]]:
        """Thumbnails of the requests that want them; one that fails is left out."""
        thumbs: dict[tuple[str, int], npt.NDArray[np.uint8]] = {}
        for request_id, ready in finished:
            if isinstance(ready, ImageReady):
                with self._as_courtesy():
                    pixels = torch.from_numpy(ready.pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
                    thumbs[request_id, ready.index] = thumbnails(pixels)[0]
        alive = {picture.request.request_id for picture in self._alive(scheduled)}
        for request_id in sorted(wanted & alive):
            state = self._states[request_id]
            indices = [s.index for s in scheduled if s.request.request_id == request_id]
            running = [state.pictures[index] for index in indices if not state.pictures[index].done]
            if not running:
                continue
            with self._as_courtesy():
                for picture, thumb in zip(running, stage.preview(running), strict=True):
                    if thumb is not None:
                        thumbs[request_id, picture.index] = thumb
        return thumbs

    @contextmanager
    def _as_courtesy(self) -> Iterator[None]:
        """Within, a preview is made: where it fails it is left out, and the picture itself goes on."""
        try:
            yield
        except Exception as error:  # Whatever it is, it is logged, and nobody waits for it.
            problem = without_frames(error)
            log.warning("a preview failed: %s", problem, exc_info=problem)
            if is_out_of_memory(problem):
                free_memory(self._residency.device)
