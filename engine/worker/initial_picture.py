"""The picture, and the mask, that a request begins with: read while others are stepped, encoded when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from engine.errors import GenerationFailed
from engine.request import DescribeRequest, EmbedRequest, GenerateRequest, Reference, Request, UpscaleRequest
from engine.tiles import MAX_SIDE, SCALES
from engine.worker.autoencoder import Autoencoder

Pixels = npt.NDArray[np.uint8]

_LIGHT = 128
"""What of a mask is at least as light as this is drawn anew."""
_SHOWN_NAME = 100
"""Characters of a file's name in an error."""


@dataclass(frozen=True, eq=False)
class InitialPicture:
    """Read, turned upright and scaled to the request's size."""

    pixels: npt.NDArray[np.uint8]
    """RGB (H, W, 3)."""
    mask: npt.NDArray[np.bool_] | None
    """(H, W): True where it is drawn anew. None: everywhere."""


class EncodedPicture:
    """Encoded once for all pictures of a request."""

    def __init__(self, picture: InitialPicture, autoencoder: Autoencoder, *, tiling: bool = False) -> None:
        """`tiling`: the picture's edges are joined."""
        self._picture = picture
        self._autoencoder = autoencoder
        self._tiling = tiling
        self._encoded = autoencoder.encode(as_tensor(picture.pixels), tiling=tiling)
        self.mask: torch.Tensor | None = None
        """(1, 1, h, w) of latents: 1 where they are drawn anew, else 0."""
        if picture.mask is not None:
            height, width = picture.mask.shape
            size = (height // autoencoder.factor, width // autoencoder.factor)
            mask = torch.nn.functional.interpolate(_as_tensor(picture.mask), size)
            self.mask = mask.to(autoencoder.device, autoencoder.dtype)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width, _ = self._picture.pixels.shape
        return width, height

    def latents(self, generator: torch.Generator) -> torch.Tensor:
        """(1, c, h, w): a sample of the initial picture's latents."""
        return self._autoencoder.sample(self._encoded, generator)

    def outside_latents(self, generator: torch.Generator) -> torch.Tensor:
        """(1, c, h, w): the same with the region blackened out."""
        return self._autoencoder.sample(self._outside, generator)

    @cached_property
    def _outside(self) -> Any:
        assert self._picture.mask is not None, "asked only for pictures with a mask"
        outside = as_tensor(self._picture.pixels) * (_as_tensor(self._picture.mask) < 0.5)
        return self._autoencoder.encode(outside, tiling=self._tiling)


def read_initial_picture(request: Request, enlarges: int = 1) -> InitialPicture | None:
    """None where the request begins with a text alone. `enlarges`: how many times as large as what is drawn the request's
    size is.

    Raises:
        GenerationFailed: a file is gone or no (whole) picture, or nothing in the mask is light.
    """
    if not isinstance(request, GenerateRequest) or request.init_image is None:
        return None
    size = request.params.width // enlarges, request.params.height // enlarges
    pixels = np.asarray(_opened(request.init_image, "initial picture", "RGB", size))
    if request.mask is None:
        return InitialPicture(pixels, None)
    mask = np.asarray(_opened(request.mask, "mask", "L", size)) >= _LIGHT
    if not mask.any():
        raise GenerationFailed(
            "mask_empty",
            "The mask is black everywhere, so there is nothing to draw. Paint what is to be drawn anew in white.",
        )
    return InitialPicture(pixels, mask)


def read_pictures(request: Request) -> tuple[Pixels, ...]:
    """What is to be looked at or enlarged, turned upright, in its own size: RGB (H, W, 3) each.

    Raises:
        GenerationFailed: a file is gone or no (whole) picture, or what is to be enlarged would become too large.
    """
    scale = 1
    match request:
        case GenerateRequest(reference=Reference(pictures=weighted)):
            paths = tuple(path for path, _ in weighted)
        case UpscaleRequest():
            paths, scale = request.images, request.scale
        case EmbedRequest():
            paths = request.images
        case DescribeRequest():
            paths = (request.image,)
        case _:
            paths = ()
    return tuple(np.asarray(_opened(path, "picture", "RGB", scale=scale)) for path in paths)


def as_tensor(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(1, 3, height, width) float32 in −1…1, of RGB (H, W, 3)."""
    # The layout is part of exactness: convolutions sum in another order when channels do not come last.
    return 2.0 * torch.from_numpy((pixels.astype(np.float32) / 255.0)[None].transpose(0, 3, 1, 2)) - 1.0


def _as_tensor(mask: npt.NDArray[np.bool_]) -> torch.Tensor:
    return torch.from_numpy(mask).to(torch.float32)[None, None]


def _check_enlarged(size: tuple[int, int], scale: int) -> None:
    """Raises GenerationFailed where a picture of this width and height would become too large."""
    (width, height), longest = size, max(size)
    if scale * longest <= MAX_SIDE:
        return
    fitting = [each for each in SCALES if each * longest <= MAX_SIDE]
    advice = f"A scale of {fitting[-1]} would do." if fitting else "Send a smaller picture."
    raise GenerationFailed(
        "picture_too_large",
        f"The picture has {width} × {height} px and would have {scale * width} × {scale * height} at {scale} times its size;"
        f" the most is {MAX_SIDE} px a side. {advice}",
        got=scale * longest,
        maximum=MAX_SIDE,
    )


def _opened(
    path: Path, what: str, mode: str, size: tuple[int, int] | None = None, *, scale: int = 1
) -> Image.Image:
    """`mode`: Pillow's, of the answer. `size`: its width and height; None: the picture's own. `scale`: how many times as
    large it is going to be.
    """
    try:
        with Image.open(path) as opened:
            if scale > 1:
                _check_enlarged(opened.size, scale)  # Before it is unpacked.
            image = ImageOps.exif_transpose(opened)
            # diffusers scales a mask in the colours that it has, and a picture in RGB.
            image = image if mode == "L" else image.convert(mode)
            if size is not None and image.size != size:
                image = image.resize(size, Image.Resampling.LANCZOS)
            return image.convert(mode)
    except (MemoryError, GenerationFailed):
        raise
    except Exception as error:  # Pillow's readers have no error in common; the file is to blame for all.
        # A name may hold anything; its end tells most, and no log or terminal takes half of its characters.
        name = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in path.name)
        reason = str(error) or type(error).__name__
        if "\0" in str(path):
            reason = "no file's name can hold a NUL"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise GenerationFailed(
            "picture_unreadable",
            f"The {what} {name[-_SHOWN_NAME:]} cannot be read: {reason}. Send it again as PNG, JPEG or WebP.",
            what=what,
            reason=reason,
        ) from error
