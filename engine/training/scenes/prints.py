"""Media that are printed, cut or set: the picture is made of plates, sheets or pieces."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.training.scenes.texture import Mask, Picture, blur, brightness, grain, noise, vivid


def pixel(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Blocks of four pixels in few tones, with a rim of one block around the subject, pale by night."""
    h, w = subject.shape
    block = 4 * grain(subject)
    small = picture.reshape(h // block, block, w // block, block, 3).mean(axis=(1, 3))
    inside = subject.reshape(h // block, block, w // block, block).mean(axis=(1, 3)) > 0.42
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    checker = ((np.arange(h // block)[:, None] + np.arange(w // block)[None]) % 2 - 0.5)[..., None]
    levels = 8
    small = vivid(small, 0.12)
    small = np.round(small * levels + 0.2 * checker * ~inside[..., None]) / levels
    dark_around = float(small[~inside].mean()) < 0.33
    rim = np.array([0.62, 0.66, 0.84]) if dark_around else 0.1 + 0.12 * small
    small = np.where((grown & ~inside)[..., None], rim, small)
    return small.repeat(block, axis=0).repeat(block, axis=1).astype(np.float32)


def comic(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Vivid flat colours with printed dots around the subject and a black frame."""
    h, w = subject.shape
    g = grain(subject)
    rich = np.clip(0.5 + 1.12 * (vivid(picture, 0.2) - 0.5), 0, 1)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / g
    # A lattice turned by 45 degrees whose period divides a latent's 8 pixels: all cells print alike.
    lattice = np.cos((x + y) * np.pi / 4) * np.cos((x - y) * np.pi / 4)
    dots = np.clip(lattice * 2.2 - 0.5, 0, 1)[..., None] * (1 - subject[..., None])
    rich = rich * (1 - 0.15 * dots)
    return framed(rich, 2 * g)


def paper(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Card that took its colour a little unevenly; rims and shadows came while the layers were laid."""
    h, w = subject.shape
    return picture * (1 + 0.04 * noise(rng, w, h, 14 * grain(subject))[..., None])


@lru_cache(maxsize=16)
def _panes(which: int, cell: int, size: int) -> tuple[npt.NDArray[np.bool_], Mask]:
    """Pieces of glass, about `cell` pixels wide: where lead runs between them, and each piece's own tone."""
    rng = np.random.default_rng((which, cell, size))
    count = size // cell + 2
    at = (np.arange(count) - 0.5) * cell
    ys = (at[:, None] + rng.uniform(-0.42, 0.42, (count, count)) * cell).ravel()
    xs = (at[None] + rng.uniform(-0.42, 0.42, (count, count)) * cell).ravel()
    tones = rng.uniform(-1, 1, count * count).astype(np.float32)
    y, x = np.mgrid[0:size, 0:size]
    # The nearest middle is among those of the nine squares around.
    row, column = np.round(y / cell + 0.5).astype(int), np.round(x / cell + 0.5).astype(int)
    best = np.full((size, size), np.inf)
    owner = np.zeros((size, size), dtype=int)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near = np.clip(row + dy, 0, count - 1) * count + np.clip(column + dx, 0, count - 1)
            distance = (ys[near] - y) ** 2 + (xs[near] - x) ** 2
            closer = distance < best
            best, owner = np.where(closer, distance, best), np.where(closer, near, owner)
    lead = (owner != np.roll(owner, 1, 0)) | (owner != np.roll(owner, 1, 1))
    return lead, tones[owner]


def glass(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Leaded panes of glowing glass; the subject is cut from fewer pieces than what is around it."""
    h, w = subject.shape
    g = grain(subject)
    size = 64 * -(-max(h, w) // 64) + 32
    lead, tone = _panes(int(rng.integers(8)), 17 * g, size)
    oy, ox = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
    lines = lead[oy : oy + h, ox : ox + w].astype(np.float32)[..., None].repeat(3, axis=2)
    if g > 1:
        lines = np.clip(blur(lines, 0.5 * g) * 2.4, 0, 1)
    around = 1 - np.clip(subject, 0, 1)[..., None]
    shine = 1 + 0.13 * tone[oy : oy + h, ox : ox + w, None] * (0.35 + 0.65 * around)
    glowing = np.clip(0.06 + 1.04 * vivid(picture, 0.4) * shine, 0, 1)
    glowing = glowing * (1 - 0.3 * blur(lines, 1.5 * g) * around)
    return framed(glowing * (1 - lines * around * 0.9), 3 * g)


def woodcut(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Flat tints under a black block whose gouged lines swell with the dark."""
    h, w = subject.shape
    g = grain(subject)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / g
    wave = 1.4 * np.sin(x / 11 + rng.uniform(0, 6.3)) + 1.5 * noise(rng, w, h, 30 * g)
    ridge = (0.5 + 0.5 * np.cos((y + wave) * np.pi / 2))[..., None]
    light = brightness(picture)
    # The subject keeps fewer lines, so that its colour can be read at a glance.
    dark = np.clip(1.02 - 0.85 * light, 0, 1) * (1 - 0.62 * subject[..., None])
    cut = np.clip((dark - 0.25 - 0.75 * ridge) * 3.2 + 0.5, 0, 1)
    paper = np.array([0.97, 0.93, 0.84], dtype=np.float32)
    tint = paper * (0.18 + 0.82 * np.clip(vivid(picture, 0.1) * 1.16 + 0.04, 0, 1))
    black = np.array([0.1, 0.085, 0.08], dtype=np.float32)
    return framed(tint * (1 - 0.85 * cut) + black * 0.85 * cut, 2 * g, paper)


def flat(picture: Picture, subject: Mask, rng: np.random.Generator) -> Picture:
    """Clean areas of colour in few steps, without line or grain."""
    rich = vivid(picture, 0.12)
    steps = 14
    stepped: Picture = np.round(rich * steps) / steps
    return stepped.astype(np.float32)


def framed(picture: Picture, width: int, colour: float | npt.NDArray[np.float32] = 0.06) -> Picture:
    """The picture with a border of `width` pixels."""
    picture = picture.astype(np.float32)
    picture[:width], picture[-width:], picture[:, :width], picture[:, -width:] = (colour,) * 4
    return picture
