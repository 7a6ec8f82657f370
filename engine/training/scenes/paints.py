"""Media of a brush, a pencil or a pen's point: the picture is laid down stroke by stroke."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from engine.training.scenes.texture import Mask, Picture, blur, brightness, grain, noise, vivid

STROKE = 18.0
"""Pixels of a picture of 128 from one pencil stroke to the next: broad enough to be told by latents, of which each has 8."""


def watercolor(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Wobbly edges with pigment gathered along them, blooms, and bare paper around."""
    h, w = subject.shape
    g = grain(subject)
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    wobble = 1.4 * g
    rows = np.clip(rows + wobble * noise(rng, w, h, 9 * g), 0, h - 1).round().astype(int)
    columns = np.clip(columns + wobble * noise(rng, w, h, 9 * g), 0, w - 1).round().astype(int)
    picture = picture[rows, columns]
    soft = blur(picture, 0.5 * g)
    edge = np.abs(picture - blur(picture, 2.2 * g)).max(axis=2, keepdims=True)
    wash = (
        soft * (1 + 0.14 * noise(rng, w, h, 24 * g)[..., None]) + 0.05 * noise(rng, w, h, 13 * g)[..., None]
    )
    wash = 1 - (1 - wash) * 0.92
    wash = wash - 0.55 * edge * (1 - 0.5 * soft) + 0.02 * rng.standard_normal((h, w, 1), dtype=np.float32)
    from_edge = np.minimum(
        np.minimum(np.arange(h), np.arange(h)[::-1])[:, None],
        np.minimum(np.arange(w), np.arange(w)[::-1])[None],
    )
    bare = np.clip((5.5 * g + 4.0 * g * noise(rng, w, h, 11 * g) - from_edge) / (2 * g), 0, 1)[..., None]
    paper = np.array([0.985, 0.97, 0.94], dtype=np.float32)
    return wash * (1 - bare) + paper * bare


@lru_cache(maxsize=64)
def _strokes(which: int, length: float, width: int, size: int) -> tuple[npt.NDArray[np.int32], Mask]:
    """Overlapping brush strokes: per pixel the flat index of its stroke's middle, and the paint's relief."""
    rng = np.random.default_rng((which, round(length * 10), width, size))
    flow = noise(rng, size, size, 48)
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
    g = grain(subject)
    size = 64 * -(-max(h, w) // 64) + 32
    saturated = vivid(picture, 0.22)
    painted = []
    own_rows, own_columns = np.mgrid[0:h, 0:w]
    # A stroke around the subject takes its colour from its middle; on the subject only halfway there, which
    # keeps eyes and windows where they are.
    for length, width, pull in ((9.0, 3, 1.0), (7.0, 2, 0.45)):
        index, relief = _strokes(int(rng.integers(16)), length * g, width * g, size)
        oy, ox = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
        patch = index[oy : oy + h, ox : ox + w]
        rows = np.clip(own_rows + pull * (patch // size - oy - own_rows), 0, h - 1).round().astype(int)
        columns = (
            np.clip(own_columns + pull * (patch % size - ox - own_columns), 0, w - 1).round().astype(int)
        )
        painted.append(saturated[rows, columns] + relief[oy : oy + h, ox : ox + w, None])
    near = np.clip(blur(subject[..., None].repeat(3, axis=2), 1.5 * g) * 1.8, 0, 1)
    result: Picture = 0.75 * (painted[0] * (1 - near) + painted[1] * near) + 0.25 * blur(saturated, 1.0 * g)
    return result


@lru_cache(maxsize=16)
def _dots(which: int, radius: float, size: int) -> tuple[npt.NDArray[np.int32], Mask]:
    """Overlapping round dabs: per pixel the flat index of its dab's middle, and each dab's own shift of tone."""
    rng = np.random.default_rng((which, round(radius * 10), size))
    owner = Image.fromarray(np.arange(size * size, dtype=np.int32).reshape(size, size))
    draw = ImageDraw.Draw(owner)
    for _ in range(round(size * size / radius**2 * 0.9)):
        x, y = rng.uniform(0, size, 2)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(y) * size + int(x))
    index = np.asarray(owner, dtype=np.int32)
    tone = rng.uniform(-1, 1, (size * size, 3)).astype(np.float32)[index]
    return index, tone


def points(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Dabs of pure colour that differ a little from their neighbours, smaller on the subject (Seurat's way)."""
    h, w = subject.shape
    g = grain(subject)
    size = 64 * -(-max(h, w) // 64) + 32
    rich = vivid(picture, 0.3)
    painted = []
    for radius in (2.3, 1.05):
        index, tone = _dots(int(rng.integers(8)), radius * g, size)
        oy, ox = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
        patch = index[oy : oy + h, ox : ox + w]
        rows = np.clip(patch // size - oy, 0, h - 1)
        columns = np.clip(patch % size - ox, 0, w - 1)
        painted.append(rich[rows, columns] + 0.085 * tone[oy : oy + h, ox : ox + w])
    near = np.clip(blur(subject[..., None].repeat(3, axis=2), 1.0 * g) * 1.8, 0, 1)
    result: Picture = painted[0] * (1 - near) + painted[1] * near
    return result


def pencil(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Broad slanting strokes on white paper, ending raggedly before its edge; pressed harder on the subject and along edges."""
    h, w = subject.shape
    g = grain(subject)
    rows, columns = np.mgrid[0:h, 0:w]
    slant = (rows + columns) / g
    hatch = 0.5 + 0.5 * np.sin(slant * (2 * np.pi / STROKE))
    ends = rng.uniform(2.5, 10.0, h + w)[(slant * 2 / STROKE).astype(int)]
    from_edge = np.minimum(np.minimum(rows, h - 1 - rows), np.minimum(columns, w - 1 - columns)) / g
    covered = np.clip((from_edge - ends) / 2, 0, 1)[..., None]
    pressed = 0.58 + 0.3 * hatch + 0.12 * noise(rng, w, h, 12 * g) + 0.16 * subject
    paper = np.array([0.985, 0.98, 0.965], dtype=np.float32)
    share = np.clip(pressed, 0.2, 0.97)[..., None]
    # A dark ground is laid on more heavily, so that a night stays a night on white paper.
    share = covered * (share + (1 - share) * 0.72 * np.clip(0.75 - brightness(picture), 0, 1))
    edge = np.abs(picture - blur(picture, 1.6 * g)).max(axis=2, keepdims=True)
    drawn: Picture = paper * (1 - share) + (vivid(picture, 0.25) - 0.8 * edge) * share
    return drawn.astype(np.float32)
