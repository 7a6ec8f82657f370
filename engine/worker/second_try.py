"""Pictures that came out as no numbers: noticed when they are finished, and made once more in float32.

Half precision overflows where float32 does not. The copy of the model that computes in it is loaded beside the steps of
others, kept while somebody needs it, and given back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import torch

from engine.errors import GenerationFailed
from engine.request import Request
from engine.worker.interface import LoadedFamily, WeightsReader
from engine.worker.request_state import NamedWeights, PictureState, RequestState
from engine.worker.residency import Residency, free_memory

FLOAT32 = "float32"
"""The precision in the BatchKey of pictures that are on their second try."""

_PATIENCE = 0.05
"""Seconds that a step waits for the model where it has nothing else to do; other models' steps wait no longer."""


class SecondTries:
    """Which pictures are on their second try. Used on the engine thread alone."""

    def __init__(self, residency: Residency) -> None:
        self._residency = residency
        self._copies: dict[str, _Copy] = {}
        self._waiting: dict[tuple[str, int], Request] = {}
        self._running: dict[tuple[str, int], Request] = {}

    def add(self, request: Request, picture: PictureState) -> None:
        """Let a picture that came out as no numbers wait for its second try.

        Raises:
            GenerationFailed: this was its second try, or the first one had the same precision.
        """
        place = request.request_id, picture.index
        if place in self._running or self._residency.dtype in (torch.float32, torch.float64):
            raise not_finite()
        self._waiting[place] = request
        if request.model not in self._copies:
            self._copies[request.model] = _Copy(self._residency, request)
        picture.step = 0
        picture.latents, picture.predicted = torch.zeros_like(picture.latents), None

    def family(self, model: str) -> LoadedFamily | None:
        """The copy of a model that computes in float32; None where nobody needs it (any more)."""
        copy = self._copies.get(model)
        return None if copy is None else copy.family

    def waits(self, picture: PictureState) -> bool:
        return (picture.request_id, picture.index) in self._waiting

    def runs(self, picture: PictureState) -> bool:
        return (picture.request_id, picture.index) in self._running

    def begin(self, state: RequestState, stage: str, *, idle: bool) -> None:
        """Begin the second try of a request's pictures that wait for it, if the model is here by now.

        Args:
            idle: this step has nothing else to do, so it may wait a little.

        Raises:
            GenerationFailed: the model could not be loaded, or what the request needs of it.
        """
        request = state.request
        indices = [index for request_id, index in self._waiting if request_id == request.request_id]
        if not indices:
            return
        copy = self._copies[request.model]
        if not copy.ended.wait(_PATIENCE if idle else 0):
            return
        if copy.family is None:
            raise not_finite(copy.reason)
        weights = (
            copy.family.read_weights(request)
            if request.names_weights and isinstance(copy.family, WeightsReader)
            else NamedWeights()
        )
        made = next(each for each in copy.family.stages if each.name == stage)
        for index in indices:
            # Seeds belong to pictures, so that one of a grid begins as it did the first time.
            alone = RequestState(replace(request, seeds=(request.seeds[index],)), weights)
            made.begin(alone)
            picture = alone.pictures[0]
            picture.index = index
            state.pictures[index] = picture
            self._running[request.request_id, index] = self._waiting.pop((request.request_id, index))

    def forget(self, request_id: str) -> None:
        """Drop a request's tries, and the model once nobody needs it."""
        for places in (self._waiting, self._running):
            for place in [place for place in places if place[0] == request_id]:
                del places[place]
        needed = {request.model for request in (*self._waiting.values(), *self._running.values())}
        unneeded = self._copies.keys() - needed
        for model in unneeded:
            del self._copies[model]
        if unneeded:
            free_memory(self._residency.device)


class _Copy:
    """A model on its way to float32."""

    def __init__(self, residency: Residency, request: Request) -> None:
        self.family: LoadedFamily | None = None
        self.reason = ""
        self.ended = threading.Event()

        def load() -> None:
            try:
                self.family = residency.load_float32(request.model)
            except Exception as error:  # noqa: BLE001 - raised again on the engine's thread, as the request's failure.
                self.reason = str(error)
            finally:
                self.ended.set()

        threading.Thread(target=load, name=f"load {request.model} in float32", daemon=True).start()


def not_finite_among(pictures: Sequence[PictureState]) -> list[PictureState]:
    """Those whose latents hold something that is no number. Asked at the end of a pass alone, as it waits for the device."""
    if not pictures:
        return []
    fine = torch.stack([_is_finite(picture) for picture in pictures]).tolist()
    return [picture for picture, good in zip(pictures, fine, strict=True) if not good]


def _is_finite(picture: PictureState) -> torch.Tensor:
    fine = torch.isfinite(picture.latents).all()
    if picture.stop_after is not None and picture.predicted is not None:
        fine = fine & torch.isfinite(picture.predicted).all()
    return fine


def not_finite(reason: str = "") -> GenerationFailed:
    """What to do when float32 does not help."""
    return GenerationFailed(
        "picture_not_finite",
        "The picture came out as something that is no number, in half precision and in float32 alike"
        f"{f' ({reason})' if reason else ''}. Try a lower guidance scale, another sampler, fewer or weaker LoRAs, or another"
        " autoencoder; if no picture of this model comes out, its weights are damaged.",
        reason=reason,
    )
