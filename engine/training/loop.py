"""The loop every stage runs in: steps, a schedule by steps, checkpoints by the clock, a progress bar, a CSV and its curve."""

from __future__ import annotations

import csv
import logging
import math
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from engine.training.charts import draw_curves
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.compute import Compute

logger = logging.getLogger(__name__)

SAVE_SECONDS = 240.0
LOG_EVERY = 20


class Stage(Protocol):
    """One thing that is trained; `state` holds weights, averages and optimisers."""

    compute: Compute

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        """Learn from one batch; returns 0-dim losses, on the device."""

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...

    def sample(self, folder: Path, index: int) -> None:
        """Write a sheet of what the stage can do by now."""


class Draws:
    """The random numbers of one step, drawn on the host from seed and step alone: a resumed run draws what it would have
    drawn, and so does one on another device.
    """

    def __init__(self, seed: int, step: int) -> None:
        self.numbers = np.random.default_rng([seed, step])
        self.tensors = torch.Generator().manual_seed(int(self.numbers.integers(2**62)))


def train(
    stage: Stage, folder: Path, *, steps: int, seed: int, minutes: float | None = None, sample_every: int = 0
) -> bool:
    """Run `stage` to `steps`, going on from its checkpoint in `folder`. True when it got to the end.

    `minutes` breaks this call off early (the schedule still hangs on `steps`); calling again goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, table = folder / "checkpoint.pt", folder / "loss.csv"
    start, begun = 0, time.monotonic()
    saved = load_checkpoint(file, stage.compute.device)
    if saved is not None:
        start = int(saved["step"])
        stage.load(saved["stage"])
        _forget_rows_after(table, start)
        logger.info("resumed %s at step %d of %d", folder.name, start, steps)
    last_save = time.monotonic()
    sums: dict[str, float] = {}
    spent = float(saved["seconds"]) if saved is not None else 0.0
    began = start
    bar = tqdm(range(start, steps), folder.name, initial=start, total=steps, unit="step", disable=None)
    for index in bar:
        measured = stage.step(index, index / steps, Draws(seed, index))
        for name, value in ((name, float(loss)) for name, loss in measured.items()):
            if not math.isfinite(value):
                raise ArithmeticError(f"{name} became {value} at step {index}; the last checkpoint is {file}")
            sums[name] = sums.get(name, 0.0) + value
        done = index + 1
        if done % LOG_EVERY == 0 or done == steps:
            count = (done - began) or 1
            means = {name: value / count for name, value in sums.items()}
            seconds = spent + time.monotonic() - begun
            _append(table, {"step": done, "seconds": round(seconds, 1), **means})
            if done % (LOG_EVERY * 5) == 0:
                text = " ".join(f"{name} {value:.4f}" for name, value in means.items())
                with logging_redirect_tqdm():
                    logger.info("%s %d/%d %.0f s %s", folder.name, done, steps, seconds, text)
            sums, began = {}, done
        out_of_time = minutes is not None and time.monotonic() - begun > minutes * 60
        if time.monotonic() - last_save > SAVE_SECONDS or done == steps or out_of_time:
            seconds = spent + time.monotonic() - begun
            save_checkpoint(file, {"step": done, "seconds": seconds, "stage": stage.state()})
            if table.exists():
                draw_curves(table, folder / "loss.png")
            last_save = time.monotonic()
        if sample_every and (done % sample_every == 0 or done == steps):
            stage.sample(folder, done)
        if out_of_time and done < steps:
            return False
    return True


def _append(table: Path, row: dict[str, float]) -> None:
    new = not table.exists()
    with table.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(row)
        writer.writerow([f"{value:.6g}" for value in row.values()])


def _forget_rows_after(table: Path, step: int) -> None:
    """Rows written between the checkpoint and the break are about to be written again."""
    if table.exists():
        with table.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        with table.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([header, *(row for row in rows if float(row[0]) <= step)])


def warm_cosine(index: int, progress: float, *, warm: int, hold: float, floor: float) -> float:
    """The factor on a learning rate: linear over `warm` steps, 1 until `hold` of the run, cosine to `floor`."""
    if index < warm:
        return (index + 1) / warm
    if progress < hold:
        return 1.0
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))
