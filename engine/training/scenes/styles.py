"""The five art styles: how layers are laid over each other and what the medium does to the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Picture = npt.NDArray[np.floating[Any]]  # (height, width, 3), 0 to 1
Mask = npt.NDArray[np.floating[Any]]  # (height, width), 0 to 1


@dataclass(frozen=True, slots=True)
class Medium:
    """`outline` is a contour's width in picture pixels at 128; `finish` works on the finished picture."""

    flat: bool
    outline: float
    ink: bool  # black contours around everything instead of a darker shade around the subject
    shadows: bool  # every layer casts a shadow on what lies behind
    finish: Callable[[Picture, Mask, np.random.Generator], Picture]


def _noise(rng: np.random.Generator, width: int, height: int, cell: int) -> Mask:
    """Smooth noise between -1 and 1 whose features are about `cell` pixels wide."""
    grid = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _blur(picture: Picture, radius: float) -> Picture:
    image = Image.fromarray((picture * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def watercolor(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Wobbly edges with pigment gathered along them, blooms, and bare paper around."""
    h, w = subject.shape
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    wobble = 1.4
    rows = np.clip(rows + wobble * _noise(rng, w, h, 9), 0, h - 1).round().astype(int)
    columns = np.clip(columns + wobble * _noise(rng, w, h, 9), 0, w - 1).round().astype(int)
    picture = picture[rows, columns]
    soft = _blur(picture, 0.5)
    edge = np.abs(picture - _blur(picture, 2.2)).max(axis=2, keepdims=True)
    wash = soft * (1 + 0.14 * _noise(rng, w, h, 24)[..., None]) + 0.05 * _noise(rng, w, h, 13)[..., None]
    wash = 1 - (1 - wash) * 0.92
    wash = wash - 0.55 * edge * (1 - 0.5 * soft) + 0.02 * rng.standard_normal((h, w, 1), dtype=np.float32)
    from_edge = np.minimum(
        np.minimum(np.arange(h), np.arange(h)[::-1])[:, None],
        np.minimum(np.arange(w), np.arange(w)[::-1])[None],
    )
    bare = np.clip((5.5 + 4.0 * _noise(rng, w, h, 11) - from_edge) / 2, 0, 1)[..., None]
    paper = np.array([0.985, 0.97, 0.94], dtype=np.float32)
    return wash * (1 - bare) + paper * bare


@lru_cache(maxsize=64)
def _strokes(which: int, length: float, width: int, size: int) -> tuple[npt.NDArray[np.int32], Mask]:
    """Overlapping brush strokes: per pixel the flat index of its stroke's middle, and the paint's relief."""
    rng = np.random.default_rng((which, round(length * 10), width, size))
    flow = _noise(rng, size, size, 48)
    owner = Image.fromarray(np.arange(size * size, dtype=np.int32).reshape(size, size))
    draw = ImageDraw.Draw(owner)
    count = round(size * size / (length * width) * 3)
    lean = rng.uniform(-0.4, 0.4)
    for _ in range(count):
        x, y = rng.uniform(0, size, 2)
        angle = lean + 1.5 * flow[int(y), int(x)]
        dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=int(y) * size + int(x), width=width)
    index = np.asarray(owner, dtype=np.int32)
    tone = rng.uniform(-0.035, 0.035, size * size).astype(np.float32)[index]
    ridge = 0.035 * (index != np.roll(index, (1, 1), (0, 1))) - 0.035 * (
        index != np.roll(index, (-1, -1), (0, 1))
    )
    return index, (tone + ridge).astype(np.float32)


def oil(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Thick strokes that follow a flow, finer on the subject than around it."""
    h, w = subject.shape
    size = 64 * -(-max(h, w) // 64) + 32
    saturated = np.clip(picture + 0.22 * (picture - picture.mean(axis=2, keepdims=True)), 0, 1)
    painted = []
    own_rows, own_columns = np.mgrid[0:h, 0:w]
    # A stroke around the subject takes its colour from its middle; on the subject only halfway there, which
    # keeps eyes and windows where they are.
    for length, width, pull in ((9.0, 3, 1.0), (7.0, 2, 0.45)):
        index, relief = _strokes(int(rng.integers(16)), length, width, size)
        oy, ox = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
        patch = index[oy : oy + h, ox : ox + w]
        rows = np.clip(own_rows + pull * (patch // size - oy - own_rows), 0, h - 1).round().astype(int)
        columns = (
            np.clip(own_columns + pull * (patch % size - ox - own_columns), 0, w - 1).round().astype(int)
        )
        painted.append(saturated[rows, columns] + relief[oy : oy + h, ox : ox + w, None])
    near = np.clip(_blur(subject[..., None].repeat(3, axis=2), 1.5) * 1.8, 0, 1)
    result: Picture = 0.75 * (painted[0] * (1 - near) + painted[1] * near) + 0.25 * _blur(saturated, 1.0)
    return result


def pixel(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Blocks of four pixels in few tones, with a rim of one block around the subject, pale by night."""
    h, w = subject.shape
    block = 4
    small = picture.reshape(h // block, block, w // block, block, 3).mean(axis=(1, 3))
    inside = subject.reshape(h // block, block, w // block, block).mean(axis=(1, 3)) > 0.42
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    checker = ((np.arange(h // block)[:, None] + np.arange(w // block)[None]) % 2 - 0.5)[..., None]
    levels = 8
    small = np.clip(small + 0.12 * (small - small.mean(axis=2, keepdims=True)), 0, 1)
    small = np.round(small * levels + 0.2 * checker * ~inside[..., None]) / levels
    dark_around = float(small[~inside].mean()) < 0.33
    rim = np.array([0.62, 0.66, 0.84]) if dark_around else 0.1 + 0.12 * small
    small = np.where((grown & ~inside)[..., None], rim, small)
    return small.repeat(block, axis=0).repeat(block, axis=1).astype(np.float32)


def comic(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Vivid flat colours with printed dots around the subject and a black frame."""
    h, w = subject.shape
    vivid = np.clip(
        0.5 + 1.12 * (picture - 0.5) + 0.2 * (picture - picture.mean(axis=2, keepdims=True)), 0, 1
    )
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    # A lattice turned by 45 degrees whose period divides a latent's 8 pixels: all cells print alike.
    lattice = np.cos((x + y) * np.pi / 4) * np.cos((x - y) * np.pi / 4)
    dots = np.clip(lattice * 2.2 - 0.5, 0, 1)[..., None] * (1 - subject[..., None])
    vivid = vivid * (1 - 0.15 * dots)
    vivid[:2], vivid[-2:], vivid[:, :2], vivid[:, -2:] = 0.06, 0.06, 0.06, 0.06
    return vivid.astype(np.float32)


def paper(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """The grain of coloured card; the shadows were cast while the layers were laid."""
    h, w = subject.shape
    grain = 0.022 * rng.standard_normal((h, w, 1), dtype=np.float32) + 0.02 * _noise(rng, w, h, 5)[..., None]
    return picture * (1 + grain)


def cast_shadow(canvas: Image.Image, mask: Image.Image, reach: float) -> None:
    """Darken `canvas` below and right of `mask`, as a sheet of card lying on it would."""
    shift = max(1, round(reach))
    fallen = Image.new("L", mask.size, 0)
    fallen.paste(mask, (shift, shift))
    small = (
        fallen.reduce(2).filter(ImageFilter.BoxBlur(reach / 2)).point([round(v * 0.42) for v in range(256)])
    )
    canvas.paste((20, 14, 40), (0, 0), small.resize(mask.size, Image.Resampling.BILINEAR))


def grown(mask: Image.Image, reach: float) -> Image.Image:
    """The mask widened by about `reach` pixels: blur and threshold, many times faster than a rank filter."""
    return mask.filter(ImageFilter.BoxBlur(reach)).point([min(255, v * 6) for v in range(256)])


MEDIA: dict[str, Medium] = {
    "watercolor": Medium(False, 0.8, False, False, watercolor),
    "oil": Medium(False, 0.7, False, False, oil),
    "pixel": Medium(False, 0.0, False, False, pixel),
    "comic": Medium(True, 2.0, True, False, comic),
    "paper": Medium(True, 0.0, False, True, paper),
}
