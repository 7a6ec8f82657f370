"""Pictures that came out as no numbers: noticed when they are finished, and made once more in float32.

Half precision overflows where float32 does not. Their next step's BatchKey names a copy of the model that computes in it
(`Residency.in_float32`); like any model it is loaded beside the steps of others and counted, and it goes as soon as
nobody needs it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.errors import GenerationFailed
from engine.worker.request_state import PictureState


def not_finite_among(pictures: Sequence[PictureState]) -> list[PictureState]:
    """Those whose latents hold something that is no number. Asked at the end of a pass alone, as it waits for the device."""
    if not pictures:
        return []
    fine = torch.stack([_is_finite(picture) for picture in pictures]).tolist()
    return [picture for picture, good in zip(pictures, fine, strict=True) if not good]


def _is_finite(picture: PictureState) -> torch.Tensor:
    return torch.isfinite(picture.latents).all() & torch.isfinite(picture.result).all()


def not_finite(reason: str = "", *, twice: bool = True) -> GenerationFailed:
    """What to do when float32 does not help. `reason`: why there could be no second try. `twice`: there was, or should have
    been, another before, in half precision.
    """
    tried = ", in half precision and in float32 alike" if twice else ""
    if reason:
        tried = f" in half precision, and could not be made in float32 ({reason})"
    return GenerationFailed(
        "picture_not_finite",
        f"The picture came out as something that is no number{tried}. Try a lower guidance scale, another sampler, fewer or"
        " weaker LoRAs, or another autoencoder; if no picture of this model comes out, its weights are damaged.",
        reason=reason,
    )
