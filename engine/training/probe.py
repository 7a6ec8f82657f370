"""The probe: a small CNN that names a picture's attributes. It measures; nothing is trained against it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.loop import Draws, warm_cosine
from engine.training.profile import Profile
from engine.training.scenes.spec import ATTRIBUTES


class Probe(nn.Module):
    """(n, 3, h, w) in −1 to 1 → per attribute (n, classes) logits. Any size that is a multiple of 16."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        # The first layer strides by 4: subjects are large, and the full size is where the time would go.
        layers: list[nn.Module] = [
            nn.Conv2d(3, widths[0], 7, stride=4, padding=3),
            nn.GroupNorm(8, widths[0]),
            nn.SiLU(),
        ]
        for previous, width in itertools.pairwise(widths):
            layers += [
                nn.Conv2d(previous, width, 3, stride=2, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers)
        # Means say how much of something there is, maxima whether it is there at all.
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * widths[-1], len(values)) for name, values in ATTRIBUTES.items()}
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.body(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = {"widths": list(self.widths), "attributes": {k: list(v) for k, v in ATTRIBUTES.items()}}
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


def to_tensor(pixels: npt.NDArray[np.uint8], compute: Compute) -> Tensor:
    """(n, h, w, 3) uint8 → (n, 3, h, w) float in −1 to 1 on the device; bytes are what travels."""
    return compute.move(torch.from_numpy(np.array(pixels))).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@torch.inference_mode()
def predict(
    probe: Probe, pixels: npt.NDArray[np.uint8], compute: Compute, batch: int = 100
) -> npt.NDArray[np.int64]:
    """(n, h, w, 3) uint8 → (n, 5) class indices in the order of ATTRIBUTES; the probe lies on the device."""
    found = []
    for start in range(0, len(pixels), batch):
        logits = probe(to_tensor(pixels[start : start + batch], compute))
        found.append(np.stack([logits[name].argmax(1).cpu().numpy() for name in ATTRIBUTES], axis=1))
    return np.concatenate(found)


def accuracy(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """The share read rightly, per attribute and for all five at once."""
    right = predicted == labels
    scores = {name: float(right[:, i].mean()) for i, name in enumerate(ATTRIBUTES)}
    return {**scores, "all": float(right.all(axis=1).mean())}


class ProbeStage:
    """Trains a probe on renders of seen combinations."""

    def __init__(self, profile: Profile, compute: Compute, sets: Sequence[Pictures]) -> None:
        self._profile, self.compute = profile, compute
        self._sets = sets
        self._labels = [torch.from_numpy(pictures.labels) for pictures in sets]
        self._shares = np.array([len(pictures) for pictures in sets]) / sum(
            len(pictures) for pictures in sets
        )
        self.probe = compute.place(Probe(profile.probe_widths), convolutional=True)
        compute.trained(self.probe)
        self._optimiser = torch.optim.AdamW(self.probe.parameters(), lr=2e-3, weight_decay=0.02)

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        which = int(draws.numbers.choice(len(self._sets), p=self._shares))
        pictures = self._sets[which]
        rows = np.sort(draws.numbers.choice(len(pictures), self._profile.probe_batch, replace=False))
        inputs = to_tensor(pictures.pixels[rows], self.compute)
        strength = torch.rand(len(inputs), 1, 1, 1, generator=draws.tensors)
        noise = torch.randn(inputs.shape, generator=draws.tensors)
        inputs += 0.04 * self.compute.move(strength) * self.compute.move(noise)
        labels = self.compute.move(self._labels[which][rows])
        for group in self._optimiser.param_groups:
            group["lr"] = 2e-3 * warm_cosine(index, progress, warm=50, hold=0.2, floor=0.01)
        with self.compute.autocast():
            logits = self.probe(self.compute.lay_out(inputs))
        losses = [
            functional.cross_entropy(logits[name].float(), labels[:, i], label_smoothing=0.02)
            for i, name in enumerate(ATTRIBUTES)
        ]
        loss = torch.stack(losses).sum()
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.probe.parameters(), 2.0)
        self._optimiser.step()
        return {name: value.detach() for name, value in zip(ATTRIBUTES, losses, strict=True)}

    def state(self) -> dict[str, Any]:
        return {"probe": self.probe.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.probe.load_state_dict(state["probe"])
        self._optimiser.load_state_dict(state["optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """A classifier has nothing to show."""
