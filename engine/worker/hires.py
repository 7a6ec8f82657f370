"""The second pass of a picture that is made small first: enlarged as pictures are, and drawn over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from engine.worker.autoencoder import Autoencoder
from engine.worker.inpainting import as_tensor
from engine.worker.request_state import PictureState


def begin_second_pass(
    picture: PictureState,
    pixels: npt.NDArray[np.uint8],
    autoencoder: Autoencoder,
    dtype: torch.dtype,
    *,
    arranged: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Give a picture that is through its first pass, decoded to `pixels`, the state that image-to-image begins with.

    Its generator begins anew with the picture's seed, as it would in a pipeline of its own. The picture changes only
    once nothing can fail any more. `arranged`: what the family makes of latents (1, c, h, w), where it keeps them
    otherwise.
    """
    second = picture.second_pass
    assert second is not None, "asked only of pictures with a pass to come"
    image = Image.fromarray(pixels).resize((second.width, second.height), Image.Resampling.LANCZOS)
    generator = torch.Generator().manual_seed(picture.generator.initial_seed())
    start = autoencoder.sample(autoencoder.encode(as_tensor(image)), generator)
    noise = torch.randn(start.shape, generator=generator, dtype=dtype).to(start.device)
    latents = second.schedule.add_noise(start, noise)
    if arranged is not None:
        latents, start = arranged(latents), arranged(start)
    picture.generator, picture.latents, picture.schedule = generator, latents, second.schedule
    picture.steps_before += picture.step
    picture.step, picture.stop_after, picture.second_pass = 0, second.stop_after, None
    # Until its first step foresees more, the enlarged picture is what there is to see.
    picture.predicted = start
    picture.previous_output = picture.pending_noise = picture.solver = None
