"""The recipe, one method per stage: pictures → probe → autoencoder → denoiser → export → evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.training import gates
from engine.training.autoencoder import AutoencoderStage, encode, reconstruct
from engine.training.checkpoint import load_checkpoint
from engine.training.dataset import Pictures, pictures
from engine.training.loop import train
from engine.training.probe import Probe, ProbeStage, accuracy, predict
from engine.training.profile import Profile

# Sets differ in their seeds: nothing is measured on pictures that anything was trained on.
TRAIN_SEED, PROBE_SEED, TEST_SEED = 1, 101, 201


class GateMissedError(Exception):
    """A stage did not reach what the next one needs; the report says where."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A profile, a seed and the folder that everything between renders and weights lies in."""

    profile: Profile
    home: Path
    seed: int

    @property
    def folder(self) -> Path:
        return self.home / self.profile.name

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def train_sets(self) -> list[Pictures]:
        return [self._pictures(n, TRAIN_SEED + i, (w, h)) for i, (w, h, n) in enumerate(self.profile.buckets)]

    def probe_sets(self) -> list[Pictures]:
        return [
            self._pictures(n, PROBE_SEED + i, (w, h))
            for i, (w, h, n) in enumerate(self.profile.probe_buckets)
        ]

    def test_set(self) -> Pictures:
        size = self.profile.native_size
        return self._pictures(self.profile.test_pictures, TEST_SEED, (size, size), held_out=True)

    def _pictures(self, count: int, seed: int, size: tuple[int, int], *, held_out: bool = False) -> Pictures:
        place = self.folder / "pictures"
        return pictures(place, count, seed, size, held_out=held_out, workers=self.profile.workers)

    def probe(self, minutes: float | None = None) -> bool:
        """Train the probe; gate (a). False when `minutes` ran out first."""
        stage = ProbeStage(self.profile, self.probe_sets())
        if not train(
            stage, self.folder / "probe", steps=self.profile.probe_steps, seed=self.seed, minutes=minutes
        ):
            return False
        stage.probe.eval().save(self.folder / "probe" / "final")
        test = self.test_set()
        scores = accuracy(predict(self.trained_probe(), np.asarray(test.pixels)), test.labels)
        floors = dict.fromkeys(scores, gates.PROBE_FLOOR)
        if not gates.judge(
            "a: probe on held-out renders", scores, floors, self.reports / "gate-a.json", pictures=len(test)
        ):
            raise GateMissedError(f"the probe misses gate (a); see {self.reports / 'gate-a.json'}")
        return True

    def trained_probe(self) -> Probe:
        return Probe.load(self.folder / "probe" / "final")

    def autoencoder(self, minutes: float | None = None) -> bool:
        """Train the VAE; gate (b). False when `minutes` ran out first."""
        stage = AutoencoderStage(self.profile, self.train_sets())
        folder = self.folder / "vae"
        if not train(
            stage, folder, steps=self.profile.vae_steps, seed=self.seed + 1, minutes=minutes, sample_every=600
        ):
            return False
        model = stage.averaged()
        sample = encode(model, np.asarray(stage.sets[0].pixels[:1000])).float()
        # One factor for all channels: the pipeline knows no other, and training kept each near unit variance.
        model.register_to_config(scaling_factor=round(float(1 / sample.std()), 4))
        model.save_pretrained(folder / "final")
        test = self.test_set()
        real = np.asarray(test.pixels)
        again = reconstruct(model, real)
        scores = accuracy(predict(self.trained_probe(), again), test.labels)
        before = json.loads((self.reports / "gate-a.json").read_text(encoding="utf-8"))["scores"]
        floors = {name: gates.AUTOENCODER_SHARE * value for name, value in before.items()}
        error = float(np.mean((again.astype(np.float32) - real) ** 2))
        facts = {"psnr": round(10 * float(np.log10(255**2 / error)), 2), "pictures": len(test)}
        if not gates.judge("b: reconstructions", scores, floors, self.reports / "gate-b.json", **facts):
            raise GateMissedError(f"the autoencoder misses gate (b); see {self.reports / 'gate-b.json'}")
        return True

    def steps_done(self, stage: str) -> int:
        saved = load_checkpoint(self.folder / stage / "checkpoint.pt")
        return int(saved["step"]) if saved else 0
