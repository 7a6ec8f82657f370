"""Rendered pictures on disk: made once, in parallel, read as memory maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.training.scenes.labels import labels_of
from engine.training.scenes.render import render_with_mask
from engine.training.scenes.spec import COUNT_SHARES, Scene, Side, draw_scenes
from engine.training.scenes.subjects import FLYING

CHUNK = 500
MASK_CELL = 8


@dataclass(frozen=True, slots=True)
class Pictures:
    """`pixels` (n, height, width, 3) uint8, `masks` (n, height / 8, width / 8) uint8: the subject's share."""

    scenes: Sequence[Scene]
    pixels: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n, heads) class indices in the order of HEADS."""
        return labels_of(self.scenes)

    def __len__(self) -> int:
        return len(self.scenes)


def pictures(
    folder: Path,
    count: int,
    seed: int,
    size: tuple[int, int],
    side: Side,
    *,
    workers: int,
    shares: Sequence[float] = COUNT_SHARES,
) -> Pictures:
    """`count` renders of one side of the split at (width, height), from the cache or rendered now.

    A set is named by everything that decides its bytes. A run that is broken off keeps its whole chunks.
    """
    width, height = size
    scenes = draw_scenes(count, seed, side, shares=shares, flying=FLYING)
    counts = "-".join(f"{share:g}" for share in shares)
    place = folder / f"{side.value}-{seed}-{count}-{width}x{height}-{counts}"
    if not (place / "scenes.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        jobs = [
            (place, start, seed * 1_000_003 + start, scenes[start : start + CHUNK], width, height)
            for start in range(0, count, CHUNK)
        ]
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_render_chunk, jobs))
        for kind in ("pixels", "masks"):
            parts = [place / f"{kind}-{start:07}.npy" for start in range(0, count, CHUNK)]
            first = np.load(parts[0], mmap_mode="r")
            whole = np.lib.format.open_memmap(
                place / f"{kind}.npy", "w+", first.dtype, (count, *first.shape[1:])
            )
            for i, part in enumerate(parts):
                whole[i * CHUNK : (i + 1) * CHUNK] = np.load(part)
            whole.flush()
            for part in parts:
                part.unlink()
        (place / "scenes.json").write_text(json.dumps([asdict(scene) for scene in scenes]), encoding="utf-8")
    return Pictures(
        scenes, np.load(place / "pixels.npy", mmap_mode="r"), np.load(place / "masks.npy", mmap_mode="r")
    )


def _render_chunk(job: tuple[Path, int, int, list[Scene], int, int]) -> None:
    place, start, seed, scenes, width, height = job
    pixels_file, masks_file = place / f"pixels-{start:07}.npy", place / f"masks-{start:07}.npy"
    if masks_file.exists():
        return
    pixels = np.empty((len(scenes), height, width, 3), dtype=np.uint8)
    cell = MASK_CELL
    masks = np.empty((len(scenes), height // cell, width // cell), dtype=np.uint8)
    for i, scene in enumerate(scenes):
        pixels[i], mask = render_with_mask(scene, seed + i, width, height)
        masks[i] = mask.reshape(height // cell, cell, width // cell, cell).mean(axis=(1, 3))
    np.save(pixels_file, pixels)
    # The mask comes last: its presence says that the chunk is whole.
    np.save(masks_file.with_suffix(".part.npy"), masks)
    masks_file.with_suffix(".part.npy").replace(masks_file)
