"""The second pass of a picture that is made small first: enlarged as pictures are, and drawn over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from engine.worker.autoencoder import Autoencoder
from engine.worker.initial_picture import as_tensor
from engine.worker.request_state import DenoisingState

_WRAPPED = 8
"""Pixels of the opposite edge: more than Lanczos' filter looks at when it enlarges."""


def enlarged(pixels: npt.NDArray[np.uint8], width: int, height: int, *, tiling: bool) -> Image.Image:
    """RGB (H, W, 3) at another size; with `tiling`, its edges go on at the opposite ones."""
    if not tiling:
        return Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    wrapped = np.pad(pixels, ((_WRAPPED, _WRAPPED), (_WRAPPED, _WRAPPED), (0, 0)), mode="wrap")
    box = (_WRAPPED, _WRAPPED, _WRAPPED + pixels.shape[1], _WRAPPED + pixels.shape[0])
    return Image.fromarray(wrapped).resize((width, height), Image.Resampling.LANCZOS, box)


def begin_second_pass(
    picture: DenoisingState,
    pixels: npt.NDArray[np.uint8],
    autoencoder: Autoencoder,
    dtype: torch.dtype,
    *,
    enlarges: int = 1,
    arranged: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Give a picture that is through its first pass, decoded to `pixels`, the state that image-to-image begins with.

    Its generator begins anew with the picture's seed, as it would in a pipeline of its own. The picture changes only
    once nothing can fail any more. `arranged`: what the family makes of latents (1, c, h, w), where it keeps them
    otherwise.
    """
    second = picture.later[0]
    assert second.schedule is not None, "it is drawn over"
    image = enlarged(pixels, second.width // enlarges, second.height // enlarges, tiling=picture.tiling)
    generator = torch.Generator().manual_seed(picture.generator.initial_seed())
    start = autoencoder.sample(
        autoencoder.encode(as_tensor(np.asarray(image)), tiling=picture.tiling), generator
    )
    noise = torch.randn(start.shape, generator=generator, dtype=dtype).to(start.device)
    latents = second.schedule.add_noise(start, noise)
    if arranged is not None:
        latents, start = arranged(latents), arranged(start)
    picture.go_on()
    picture.generator, picture.latents = generator, latents
    # Until its first step foresees more, the enlarged picture is what there is to see.
    picture.predicted = start
