"""Super-resolution: a convolutional network enlarges a picture in tiles whose edges are feathered into each other.

The stage serves requests for larger pictures, and may be the last one of other families. A step takes a few tiles of each
picture; those of several pictures share a forward pass.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from engine.output import ImageReady, Result, Safety
from engine.passes import SUPER_RESOLUTION
from engine.tiles import OVERLAP, TILE, TILES_PER_STEP, enlargements, tile_starts, tile_steps
from engine.worker.previews import MAX_SIDE, thumbnails
from engine.worker.request_state import LaterPass, PictureState, RequestState

Pixels = npt.NDArray[np.uint8]

BLIND = 12
"""Pixels along a tile's edge that hardly count: convolutions there miss what lies beyond."""
_TOGETHER = 8
"""Tiles in a forward pass, whose insides may be sixty times as large as they: more of them hardly make it faster."""


class Network(Protocol):
    """(n, 3, h, w) in 0 to 1 → (n, 3, scale × h, scale × w), in the same dtype."""

    scale: int

    def __call__(self, pictures: Tensor, /) -> Tensor: ...


class CompactUpscaler(nn.Module):
    """(n, 3, h, w) in 0 to 1 → (n, 3, scale × h, scale × w).

    The compact network of Real-ESRGAN (Wang et al. 2021) and its names of parameters: convolutions at the small size, one pixel
    shuffle at the end (Shi et al. 2016), and what they find is added to the enlarged picture.
    """

    def __init__(self, features: int, depth: int, scale: int) -> None:
        super().__init__()
        self.features, self.depth, self.scale = features, depth, scale
        self.body = nn.ModuleList([nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)])
        for _ in range(depth):
            self.body += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        self.body.append(nn.Conv2d(features, 3 * scale**2, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        # Half precision has too few steps for a picture's 256, but not for what is added to it.
        found = pictures.to(next(self.parameters()).dtype)
        for layer in self.body:
            found = layer(found)
        enlarged = functional.interpolate(pictures, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(found, self.scale).to(pictures.dtype) + enlarged

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> CompactUpscaler:
        """Reads `config.json` and `model.safetensors`."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        network = cls(config["features"], config["depth"], config["scale"]).to(dtype)
        network.load_state_dict(load_file(folder / "model.safetensors"))
        return network.eval()


@torch.inference_mode()
def upscale(network: Network, picture: Tensor, *, rows: int = 8) -> Tensor:
    """One picture (3, h, w) in 0 to 1, of any size, `scale` times as large; at most `rows` tiles at once."""
    tiling = Tiling(picture[None], network.scale)
    canvas = tiling.blank()
    for start in range(0, tiling.count, rows):
        some = range(start, min(start + rows, tiling.count))
        tiles = torch.cat([tiling.cut(picture[None], index) for index in some])
        for index, tile in zip(some, network(tiles).to(picture.dtype).split(1), strict=True):
            place, weighted = tiling.weighted(tile, index)
            canvas[place] += weighted
    return canvas[0].clamp(0, 1)


class Tiling:
    """Where the tiles of a picture lie, and what each counts at every pixel of the enlarged one.

    Every tile is a row of its own, so that what one picture needs at once does not grow with its size. Where tiles overlap,
    each counts less towards its own edge, so that no seam is seen.
    """

    def __init__(self, picture: Tensor, times: int) -> None:
        """`picture`: (1, 3, h, w); `times`: as large it is to be."""
        height, width = picture.shape[-2:]
        self.times = times
        self._down, self._across = _Side(height, times, picture), _Side(width, times, picture)
        self._blank = picture.new_zeros(()).expand(1, 3, times * height, times * width)

    @property
    def count(self) -> int:
        return len(self._down.starts) * len(self._across.starts)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return self._down.length, self._across.length

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the enlarged picture."""
        return self._blank.shape[2], self._blank.shape[3]

    def blank(self) -> Tensor:
        """The enlarged picture before the first tile is there."""
        return self._blank.clone(memory_format=torch.contiguous_format)

    def cut(self, picture: Tensor, index: int) -> Tensor:
        """(1, 3, h, w) → (1, 3, height, width) of a tile."""
        top, left = self._corner(index)
        y, x = self._down.starts[top], self._across.starts[left]
        return picture[..., y : y + self._down.length, x : x + self._across.length]

    def weighted(self, tile: Tensor, index: int) -> tuple[tuple[slice | int, ...], Tensor]:
        """Where an enlarged tile belongs, and what is to be added there. One that is larger than asked for is scaled down."""
        top, left = self._corner(index)
        rows, columns = self._down.part(top), self._across.part(left)
        size = rows.stop - rows.start, columns.stop - columns.start
        if tile.shape[-2:] != size:
            tile = functional.interpolate(tile, size, mode="bicubic", antialias=True)
        # What is limited to 0 to 1 later on would hide that half precision has overflown.
        tile = tile.masked_fill(~tile.isfinite(), torch.nan)
        weights = self._down.weights[top, rows, None] * self._across.weights[left, None, columns]
        return (slice(None), slice(None), rows, columns), tile * weights

    def covered(self, count: int, size: tuple[int, int]) -> Tensor:
        """(height, width) of `size`: how much of each pixel the first so many tiles have made."""
        down, across = self._down.weights, self._across.weights
        there = torch.arange(self.count, device=down.device).view(len(down), len(across)) < count
        return self._down.at(size[0]).T @ there.to(down.dtype) @ self._across.at(size[1])

    def _corner(self, index: int) -> tuple[int, int]:
        return divmod(index, len(self._across.starts))


class _Side:
    """The tiles along one side of a picture."""

    def __init__(self, length: int, times: int, like: Tensor) -> None:
        self.starts, self.length = tile_starts(length), min(TILE, length)
        self._times = times
        self.weights = like.new_zeros(len(self.starts), times * length)
        """What each tile counts at every pixel of the enlarged side; all of them together 1."""
        feather = _feather(self.length).to(like).repeat_interleave(times)
        for index in range(len(self.starts)):
            self.weights[index, self.part(index)] = feather
        self.weights /= self.weights.sum(dim=0)

    def part(self, index: int) -> slice:
        """Of the enlarged side: where a tile lies."""
        return slice(self._times * self.starts[index], self._times * (self.starts[index] + self.length))

    def at(self, length: int) -> Tensor:
        """The weights of a side that was scaled down to another length."""
        return functional.adaptive_avg_pool1d(self.weights, length)


def _feather(length: int) -> Tensor:
    """Weights along one side of a tile: 1 inside, next to nothing where it is blind, a ramp between. At the edges of a picture
    there is nobody else to ask, and next to nothing is all.
    """
    ramp = (torch.arange(length, dtype=torch.float32) + 0.5 - BLIND) / (OVERLAP - 2 * BLIND)
    return torch.minimum(ramp, ramp.flip(0)).clamp(1e-4, 1.0)


@dataclass(kw_only=True)
class TiledPicture(PictureState):
    """A picture on its way to a larger one. `latents` are the picture, (1, 3, h, w) in 0 to 1; a run of the network over all
    of its tiles replaces them.
    """

    size: tuple[int, int]
    """Height and width of the result."""
    runs: tuple[int, ...]
    """How many times as large this run makes the picture, and then those to come."""
    tiling: Tiling
    """Of this run."""
    safety: Safety = Safety.UNCHECKED
    """What was said of the picture before it was enlarged."""

    # Changed by every step.
    tiles_done: int = 0
    """Of this run."""
    canvas: Tensor | None = None
    """(1, 3, H, W): the enlarged picture so far; None: not a tile is there yet."""

    @property
    def next_tiles(self) -> range:
        return range(self.tiles_done, min(self.tiles_done + TILES_PER_STEP, self.tiling.count))

    def take(self, added: Sequence[tuple[tuple[slice | int, ...], Tensor]]) -> None:
        """Put a step's tiles onto the canvas, which is there; after the last one, go on to the next run."""
        assert self.canvas is not None
        for place, weighted in added:
            self.canvas[place] += weighted
        self.tiles_done += len(added)
        self.step += 1
        if self.tiles_done == self.tiling.count:
            self.latents, self.canvas = self.canvas.clamp_(0, 1), None
            self.tiles_done, self.runs = 0, self.runs[1:]
            if self.runs:
                self.tiling = Tiling(self.latents, self.runs[0])


class SuperResolution:
    """The stage. Of other families it is the last one: they give pictures that it shall enlarge a `later_pass`, and hand
    them over with `taken_over`.
    """

    name = SUPER_RESOLUTION

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype, *, exact: bool) -> None:
        """`dtype`: the engine's; pictures are of single precision at least. `exact`: each tile has a forward pass of its own."""
        self._network = network
        self._device = device
        self._dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self._together = 1 if exact else _TOGETHER

    def begin(self, state: RequestState) -> None:
        """Bring the pictures that a request names to the device."""
        request = state.request
        for index in state.indices:
            pixels = torch.from_numpy(np.array(state.files.pictures[index])).permute(2, 0, 1)[None]
            pixels = pixels.to(self._device, self._dtype) / 255
            bare = PictureState(request_id=request.request_id, index=index, steps_in_pass=0, latents=pixels)
            state.pictures[index] = self._tiled(bare, pixels, request.scale)

    def later_pass(self, width: int, height: int, scale: int) -> LaterPass:
        """For pictures of so many pixels that are to be `scale` times as large: 2, 4, 8 or 16. All sizes share its steps."""
        return LaterPass(self.name, 0, 0, tile_steps(width, height, scale, self._network.scale))

    def taken_over(
        self, picture: PictureState, pixels: Tensor, scale: int, safety: Safety = Safety.UNCHECKED
    ) -> TiledPicture:
        """What takes the place of a picture whose next pass is this stage's: `pixels` are what was made of it, (1, 3, h, w) in
        0 to 1. The picture itself does not change.
        """
        taken = self._tiled(picture, pixels.to(self._device, self._dtype), scale)
        taken.safety, taken.weight = safety, picture.weight
        taken.current, taken.later = picture.later[0], picture.later[1:]
        taken.steps_before = picture.steps_before + picture.step
        return taken

    def denoise(self, pictures: Sequence[TiledPicture]) -> None:
        """Enlarge the next tiles of every picture; those of one shape share forward passes."""
        places = [(picture, index) for picture in pictures for index in picture.next_tiles]
        enlarged = self._enlarged([picture.tiling.cut(picture.latents, index) for picture, index in places])
        for picture in pictures:
            if picture.canvas is None:
                picture.canvas = picture.tiling.blank()
        added = iter(
            [
                picture.tiling.weighted(tile, index)
                for (picture, index), tile in zip(places, enlarged, strict=True)
            ]
        )
        for picture in pictures:
            picture.take([next(added) for _ in picture.next_tiles])

    def finish(self, pictures: Sequence[TiledPicture]) -> list[Result]:
        """Whatever networks there are, in the size that was asked for."""
        return [ImageReady(picture.index, _as_pixels(picture), picture.safety) for picture in pictures]

    def preview(self, pictures: Sequence[TiledPicture]) -> list[Pixels]:
        """What tiles have made so far, over the plainly enlarged picture; at most 128 px a side."""
        return [_preview(picture) for picture in pictures]

    def save_memory(self) -> bool:
        """Take half as many tiles at once from now on; False when it is one already."""
        before, self._together = self._together, max(1, self._together // 2)
        return self._together < before

    def _tiled(self, picture: PictureState, pixels: Tensor, scale: int) -> TiledPicture:
        height, width = pixels.shape[-2:]
        runs = enlargements(scale, self._network.scale)
        return TiledPicture(
            request_id=picture.request_id,
            index=picture.index,
            steps_in_pass=tile_steps(width, height, scale, self._network.scale),
            latents=pixels,
            size=(scale * height, scale * width),
            runs=runs,
            tiling=Tiling(pixels, runs[0]),
        )

    def _enlarged(self, tiles: Sequence[Tensor]) -> list[Tensor]:
        """Each of (1, 3, h, w), in their order."""
        by_shape: dict[torch.Size, list[int]] = {}
        for index, tile in enumerate(tiles):
            by_shape.setdefault(tile.shape, []).append(index)
        enlarged: dict[int, Tensor] = {}
        for indices in by_shape.values():
            for start in range(0, len(indices), self._together):
                some = indices[start : start + self._together]
                rows = self._network(torch.cat([tiles[index] for index in some]))
                enlarged.update(zip(some, rows.split(1), strict=True))
        return [enlarged[index] for index in range(len(tiles))]


def _as_pixels(picture: TiledPicture) -> Pixels:
    found = picture.latents
    if found.shape[-2:] != picture.size:
        found = functional.interpolate(found, picture.size, mode="bicubic", antialias=True).clamp_(0, 1)
    pixels: Pixels = found[0].mul(255).round_().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels)


def _preview(picture: TiledPicture) -> Pixels:
    height, width = picture.tiling.size
    smaller = min(1.0, MAX_SIDE / max(height, width))
    size = (max(1, round(smaller * height)), max(1, round(smaller * width)))
    seen = functional.interpolate(picture.latents, size, mode="bilinear", antialias=True)
    if picture.canvas is not None:
        missing = 1 - picture.tiling.covered(picture.tiles_done, size)
        seen = functional.interpolate(picture.canvas, size, mode="area") + missing * seen
    return thumbnails(2 * seen - 1)[0]
