"""The probe: a small network that reads a scene off a picture. It measures; nothing is trained against it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.loop import Draws
from engine.training.profile import Profile
from engine.training.scenes.labels import HEADS
from engine.training.scenes.spec import COLOURS, PLACES, SUBJECTS
from engine.training.stage import AveragedStage

MATRIX_RATE, OTHER_RATE = 3e-3, 2e-3
GRAIN = 0.04
"""Noise that a picture may get before the probe reads it, in standard deviations of −1 to 1."""
WAVES = 3
_PLACED = ("subject", "colour")


class Probe(nn.Module):
    """(n, 3, h, w) in −1 to 1 → per head of HEADS (n, classes) logits. Any size that is a multiple of 16."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        # The first layer strides by 4: subjects are large, and the full size is where the time would go.
        self.conv_in = nn.Conv2d(3, widths[0], 7, stride=4, padding=3)
        layers: list[nn.Module] = [nn.GroupNorm(8, widths[0]), nn.SiLU()]
        for i, (previous, width) in enumerate(itertools.pairwise(widths)):
            # The last level keeps the size of the one before: three figures side by side need cells of their own.
            last = i == len(widths) - 2
            layers += [
                nn.Conv2d(previous, width, 3, stride=1 if last else 2, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers)
        width = widths[-1]
        self.where = nn.Linear(4 * WAVES, width)
        # One glance per place and question finds the figure that stands there (attention pooling).
        self.glances = nn.Parameter(torch.randn(len(_PLACED) * PLACES, width))
        self.key = nn.Linear(width, width)
        self.heads = nn.ModuleDict()
        for name, values in HEADS.items():
            placed = name.split("_")[0]
            if placed in _PLACED and placed in self.heads:
                continue
            # Means say how much of something there is, maxima whether it is there at all.
            self.heads[placed] = nn.Linear(3 * width if placed in _PLACED else 2 * width, len(values))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.body(self.conv_in(pictures))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        cells = features.flatten(2).transpose(1, 2)
        placed = cells + self.where(_positions(features))
        scores = self.key(placed) @ self.glances.T / features.shape[1] ** 0.5
        found = scores.softmax(dim=1).transpose(1, 2) @ placed
        logits = {name: self.heads[name](pooled) for name in HEADS if name in self.heads}
        for i, (name, place) in enumerate(itertools.product(_PLACED, range(PLACES))):
            logits[f"{name}_{place}"] = self.heads[name](torch.cat([found[:, i], pooled], dim=1))
        return {name: logits[name] for name in HEADS}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = {"widths": list(self.widths), "heads": {k: list(v) for k, v in HEADS.items()}}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(
            {k: v.half().contiguous() for k, v in self.state_dict().items()}, folder / "model.safetensors"
        )

    @classmethod
    def load(cls, folder: Path) -> Probe:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        probe = cls(config["widths"])
        probe.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
        return probe.eval()


def _positions(features: Tensor) -> Tensor:
    """(h·w, 4 · WAVES): where each cell lies, as waves of its share of the width and of the height."""
    height, width = features.shape[2:]
    y = (torch.arange(height, device=features.device) + 0.5) / height
    x = (torch.arange(width, device=features.device) + 0.5) / width
    at = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)
    angles = (at[..., None] * torch.pi * 2.0 ** torch.arange(WAVES, device=features.device)).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def to_tensor(pixels: npt.NDArray[np.uint8], compute: Compute) -> Tensor:
    """(n, h, w, 3) uint8 → (n, 3, h, w) float in −1 to 1 on the device; bytes are what travels."""
    return compute.move(torch.from_numpy(np.array(pixels))).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def soften(pictures: Tensor) -> Tensor:
    """(n, 3, h, w) → the same, blurred by the 3 × 3 binomial filter."""
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="reflect")
    # The binomial weights 1, 2, 1 are two means of neighbours, one after the other.
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, stride=1), 2, stride=1)


@torch.inference_mode()
def predict(
    probe: Probe, pixels: npt.NDArray[np.uint8], compute: Compute, batch: int = 100
) -> npt.NDArray[np.int64]:
    """(n, h, w, 3) uint8 → (n, heads) class indices in the order of HEADS; the probe lies on the device."""
    found = []
    for start in range(0, len(pixels), batch):
        logits = probe(to_tensor(pixels[start : start + batch], compute))
        found.append(np.stack([logits[name].argmax(1).cpu().numpy() for name in HEADS], axis=1))
    return np.concatenate(found)


_COLUMN = {name: i for i, name in enumerate(HEADS)}


def read_rightly(
    predicted: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.bool_]]:
    """(n, heads) each → per attribute (n,) bools. "subject" and "colour": those of every figure that should be there;
    "figures": all subjects and colours in their places and nothing more; "all": that, and everything else.
    """
    right = predicted == wanted
    found = {}
    for name, values in (("subject", SUBJECTS), ("colour", COLOURS)):
        columns = [_COLUMN[f"{name}_{place}"] for place in range(PLACES)]
        absent = wanted[:, columns] == len(values)
        found[name] = (right[:, columns] | absent).all(axis=1)
    for name in ("setting", "time", "weather", "style"):
        found[name] = right[:, _COLUMN[name]]
    places = [_COLUMN[f"{name}_{place}"] for name in _PLACED for place in range(PLACES)]
    alone = wanted[:, _COLUMN["subject_1"]] == len(SUBJECTS)
    arranged = right[:, _COLUMN["arrangement"]] | alone
    found["figures"] = right[:, places].all(axis=1) & arranged
    whole = [found[name] for name in ("figures", "setting", "time", "weather", "style")]
    found["all"] = np.logical_and.reduce(whole)
    return found


def figure_counts(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n, heads) → (n,): how many figures each picture has."""
    columns = [_COLUMN[f"subject_{place}"] for place in range(PLACES)]
    return np.asarray((labels[:, columns] != len(SUBJECTS)).sum(axis=1))


def scores(predicted: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> dict[str, float]:
    """The share read rightly, per attribute."""
    return {name: float(right.mean()) for name, right in read_rightly(predicted, wanted).items()}


def head_losses(
    logits: Mapping[str, Tensor], wanted: Tensor, *, smoothing: float = 0.02
) -> dict[str, Tensor]:
    """Cross-entropy per head, those of the places together; `wanted` (n, heads). The arrangement of one figure is none."""
    found: dict[str, Tensor] = {}
    alone = wanted[:, _COLUMN["subject_1"]] == len(SUBJECTS)
    for i, (name, guess) in enumerate(logits.items()):
        target = wanted[:, i].masked_fill(alone, -100) if name == "arrangement" else wanted[:, i]
        loss = functional.cross_entropy(guess.float(), target, label_smoothing=smoothing, reduction="sum")
        group = name.split("_")[0]
        found[group] = found.get(group, torch.zeros((), device=loss.device)) + loss / len(wanted)
    return found


class ProbeStage(AveragedStage[Probe]):
    """Trains a probe on renders of seen combinations."""

    def __init__(self, profile: Profile, compute: Compute, sets: Sequence[Pictures]) -> None:
        super().__init__(
            compute,
            lambda: Probe(profile.probe_widths),
            matrix_rate=MATRIX_RATE,
            other_rate=OTHER_RATE,
            decay=0.997,
            convolutional=True,
        )
        self._profile, self._sets = profile, sets
        self._labels = [torch.from_numpy(pictures.labels) for pictures in sets]
        sizes = np.array([len(pictures) for pictures in sets])
        self._shares = sizes / sizes.sum()

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        which = int(draws.numbers.choice(len(self._sets), p=self._shares))
        pictures = self._sets[which]
        rows = np.sort(draws.numbers.choice(len(pictures), self._profile.probe_batch, replace=False))
        inputs = to_tensor(pictures.pixels[rows], self.compute)
        # What it will read was decoded from latents: never quite as sharp as a render, nor free of grain.
        softness, strength = torch.rand(2, len(inputs), 1, 1, 1, generator=draws.tensors)
        inputs = torch.lerp(inputs, soften(inputs), self.compute.move(softness))
        noise = torch.randn(inputs.shape, generator=draws.tensors)
        inputs += GRAIN * self.compute.move(strength) * self.compute.move(noise)
        wanted = self.compute.move(self._labels[which][rows])
        with self.compute.autocast():
            logits = self.model(self.compute.lay_out(inputs))
        losses = head_losses(logits, wanted)
        self.descend(torch.stack(list(losses.values())).sum(), index, progress, clip=2.0)
        return {name: value.detach() for name, value in losses.items()}
