"""The picture that a request to Kandinsky begins with, as its decoder reads it: latents, and where they are drawn anew.

Follows diffusers' KandinskyV22Img2ImgPipeline and KandinskyV22InpaintPipeline number for number.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engine.worker.autoencoder import Autoencoder
from engine.worker.initial_picture import InitialPicture, as_tensor

_NEIGHBOURS = ((-1, -1), (-1, 0), (0, -1), (0, 1), (1, 0), (1, 1))
"""Of a latent that is drawn anew: those that diffusers' pipeline draws anew with it."""


class EncodedPicture:
    """An initial picture as the decoder reads it."""

    def __init__(self, picture: InitialPicture, autoencoder: Autoencoder) -> None:
        pixels = as_tensor(picture.pixels)
        if picture.mask is not None:
            # diffusers' inpaint pipeline comes to the same another way, which rounds otherwise.
            pixels = (
                torch.from_numpy(picture.pixels[None].transpose(0, 3, 1, 2)).to(torch.float32) / 127.5 - 1.0
            )
        # An encoder leaves channels last in memory; as diffusers' pipelines repeat what it says, they come first there.
        self.latents: Tensor = autoencoder.encode(pixels).latents.contiguous()
        """(1, c, h, w)."""
        self.mask: Tensor | None = None
        """(1, 1, h, w): 1 where it is drawn anew, which is a little more than what was asked for."""
        if picture.mask is not None:
            asked = torch.from_numpy(picture.mask).to(torch.float32)[None, None]
            mask = functional.interpolate(asked, self.latents.shape[-2:])
            around = functional.pad(mask, (1, 1, 1, 1))
            height, width = mask.shape[-2:]
            for down, right in _NEIGHBOURS:
                mask = mask.maximum(around[..., 1 - down :, 1 - right :][..., :height, :width])
            self.mask = mask.to(autoencoder.device, autoencoder.dtype)
