"""The recipe, one method per stage: pictures → probe → autoencoder → denoiser → export → evaluation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from engine.config import EMBEDDED_CLIP, EMBEDDED_MODEL
from engine.training import dataset, gates
from engine.training.alignment import patch_features
from engine.training.autoencoder import AutoencoderStage, encode, reconstruct
from engine.training.checkpoint import load_checkpoint
from engine.training.compute import Compute
from engine.training.contrastive import ClipStage, embed_pictures, embed_texts, retrieval
from engine.training.dataset import Pictures
from engine.training.denoiser import DenoiserStage, LatentSet
from engine.training.distillation import FewStepsStage
from engine.training.drawing import Sampling
from engine.training.export import export_few_steps, export_model
from engine.training.export_clip import export_clip
from engine.training.loop import train
from engine.training.polish import PolishStage, near_misses
from engine.training.probe import Probe, ProbeStage, figure_counts, predict, scores
from engine.training.profile import Profile
from engine.training.scenes.captions import full_caption
from engine.training.scenes.spec import Side
from engine.training.tokenizer import build_tokenizer

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
    def compute(self) -> Compute:
        """Where the profile computes. Raises DeviceMissingError."""
        return Compute.of(self.profile)

    @property
    def folder(self) -> Path:
        return self.home / self.profile.name

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def train_sets(self) -> list[Pictures]:
        return [self.pictures(n, TRAIN_SEED + i, (w, h)) for i, (w, h, n) in enumerate(self.profile.buckets)]

    def square_sets(self) -> list[Pictures]:
        """Those training sets whose pictures are as wide as high."""
        sizes = zip(self.train_sets(), self.profile.buckets, strict=True)
        return [pictures for pictures, (width, height, _) in sizes if width == height]

    def probe_sets(self) -> list[Pictures]:
        return [
            self.pictures(n, PROBE_SEED + i, (w, h)) for i, (w, h, n) in enumerate(self.profile.probe_buckets)
        ]

    def test_set(self) -> Pictures:
        size = self.profile.native_size
        return self.pictures(self.profile.test_pictures, TEST_SEED, (size, size), Side.HELD_OUT)

    def pictures(self, count: int, seed: int, size: tuple[int, int], side: Side = Side.TRAIN) -> Pictures:
        place = self.folder / "pictures"
        return dataset.pictures(place, count, seed, size, side, workers=self.profile.workers)

    def probe(self, minutes: float | None = None) -> bool:
        """Train the probe; gate (a). False when `minutes` ran out first."""
        self.seed_weights(0)
        stage = ProbeStage(self.profile, self.compute, self.probe_sets())
        if not train(
            stage, self.folder / "probe", steps=self.profile.probe_steps, seed=self.seed, minutes=minutes
        ):
            return False
        stage.averaged().save(self.folder / "probe" / "final")
        test = self.test_set()
        read = predict(self.trained_probe(), np.asarray(test.pixels), self.compute)
        one = figure_counts(test.labels) == 1
        floors = dict.fromkeys(gates.ATTRIBUTES, gates.PROBE_FLOOR)
        report = self.reports / "gate-a.json"
        facts = {"pictures": int(one.sum()), "of_one_to_three": scores(read, test.labels)}
        if not gates.judge(
            "a: probe on held-out renders", scores(read[one], test.labels[one]), floors, report, **facts
        ):
            raise GateMissedError(f"the probe misses gate (a); see {self.reports / 'gate-a.json'}")
        return True

    def seed_weights(self, stage: int) -> None:
        """Weights begin on the host and from the seed, so that every run and device begins with the same ones."""
        torch.manual_seed(self.seed + stage)

    def trained_probe(self) -> Probe:
        return self.compute.place(Probe.load(self.folder / "probe" / "final"))

    def contrastive(self, minutes: float | None = None) -> bool:
        """Train CLIP; the gate of retrieval. False when `minutes` ran out first."""
        self.seed_weights(6)
        tokenizer = self.tokenizer()
        stage = ClipStage(self.profile, self.compute, self.square_sets(), tokenizer)
        folder = self.folder / "clip"
        if not train(stage, folder, steps=self.profile.clip_steps, seed=self.seed + 6, minutes=minutes):
            return False
        model = stage.averaged()
        model.save_pretrained(folder / "final")
        test, numbers = self.test_set(), np.random.default_rng(self.seed)
        seen = embed_pictures(model, np.asarray(test.pixels), self.compute)
        captions = [full_caption(scene, numbers) for scene in test.scenes]
        found = retrieval(seen, embed_texts(model, tokenizer, captions, self.compute), 64)
        floors = dict.fromkeys(found, gates.RETRIEVAL_FLOOR)
        report = self.reports / "gate-clip.json"
        if not gates.judge("clip: R@1 among 64", found, floors, report, pictures=len(test)):
            raise GateMissedError(f"CLIP misses its gate; see {report}")
        return True

    def trained_clip(self) -> CLIPModel:
        return self.compute.place(CLIPModel.from_pretrained(str(self.folder / "clip" / "final")).eval())

    def clip_mark(self) -> str:
        """Ten digits that another CLIP does not have."""
        weights = (self.folder / "clip" / "final" / "model.safetensors").read_bytes()
        return hashlib.sha256(weights).hexdigest()[:10]

    def autoencoder(self, minutes: float | None = None) -> bool:
        """Train the VAE; gate (b). False when `minutes` ran out first."""
        self.seed_weights(1)
        stage = AutoencoderStage(self.profile, self.compute, self.train_sets())
        folder = self.folder / "vae"
        if not train(
            stage, folder, steps=self.profile.vae_steps, seed=self.seed + 1, minutes=minutes, sample_every=700
        ):
            return False
        model = stage.averaged()
        sample = encode(model, np.asarray(stage.sets[0].pixels[:1000]), self.compute).float()
        # One factor for all channels: the pipeline knows no other, and training kept each near unit variance.
        model.register_to_config(scaling_factor=round(float(1 / sample.std()), 4))
        model.save_pretrained(folder / "final")
        if not self._gate_b(model, self.reports / "gate-b.json"):
            raise GateMissedError(f"the autoencoder misses gate (b); see {self.reports / 'gate-b.json'}")
        return True

    def _gate_b(self, model: AutoencoderTiny, report: Path, count: int | None = None) -> bool:
        test = self.test_set()
        real = np.asarray(test.pixels[:count])
        again, probe = reconstruct(model, real, self.compute), self.trained_probe()
        before, measured = (
            scores(predict(probe, pixels, self.compute), test.labels[:count]) for pixels in (real, again)
        )
        floors = {name: gates.AUTOENCODER_SHARE * before[name] for name in gates.ATTRIBUTES}
        error = float(np.mean((again.astype(np.float32) - real) ** 2))
        facts = {"psnr": round(10 * float(np.log10(255**2 / error)), 2), "pictures": len(real)}
        return gates.judge("b: reconstructions", measured, floors, report, **facts)

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.folder / "tokenizer"
        if (folder / "tokenizer.json").exists():
            return CLIPTokenizer.from_pretrained(str(folder))
        return build_tokenizer(folder, self.profile.text_length)

    def trained_autoencoder(self) -> AutoencoderTiny:
        return self.compute.place(AutoencoderTiny.from_pretrained(str(self.folder / "vae" / "final")).eval())

    def latent_sets(self) -> list[LatentSet]:
        """The training pictures as latents, encoded once per autoencoder."""
        vae = self.trained_autoencoder()
        weights = (self.folder / "vae" / "final" / "diffusion_pytorch_model.safetensors").read_bytes()
        folder = self.folder / "latents" / hashlib.sha256(weights).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        vae = self.compute.place(vae, convolutional=True)
        found = []
        for i, renders in enumerate(self.train_sets()):
            count = round(len(renders) * self.profile.latent_share)
            file = folder / f"{i}-{count}.npy"
            if not file.exists():
                np.save(
                    file.with_suffix(".part.npy"), encode(vae, renders.pixels[:count], self.compute).numpy()
                )
                file.with_suffix(".part.npy").replace(file)
            latents = torch.from_numpy(np.load(file))
            found.append(LatentSet(renders.scenes[:count], latents, np.array(renders.masks[:count])))
        return found

    def denoiser(self, minutes: float | None = None) -> bool:
        """Train the UNet, and CLIP's text tower with it. False when `minutes` ran out first."""
        if not json.loads((self.reports / "gate-b.json").read_text(encoding="utf-8"))["passed"]:
            raise GateMissedError("the autoencoder misses gate (b); the denoiser would only learn its blur")
        self.seed_weights(3)
        clip = self.trained_clip()
        sets = [
            replace(
                latents, features=patch_features(clip, renders.pixels[: len(latents.scenes)], self.compute)
            )
            if width == height
            else latents
            for latents, renders, (width, height, _) in zip(
                self.latent_sets(), self.train_sets(), self.profile.buckets, strict=True
            )
        ]
        stage = self.denoiser_stage(sets, clip.text_model.state_dict())
        return train(
            stage,
            self.folder / "unet",
            steps=self.profile.unet_steps,
            seed=self.seed + 3,
            minutes=minutes,
            sample_every=700,
        )

    def denoiser_stage(
        self, sets: list[LatentSet], text_weights: dict[str, torch.Tensor] | None = None
    ) -> DenoiserStage:
        return DenoiserStage(
            self.profile, self.compute, sets, self.tokenizer(), self.trained_autoencoder(), text_weights
        )

    def polish(self, minutes: float | None = None) -> bool:
        """Tune the decoder to the trained denoiser; gate (b) again, because the decoder is another one now."""
        folder, count = self.folder / "polish", self.profile.polish_pictures
        unet, text, _ = self.trained_denoiser()
        latents = self.latent_sets()[0]
        file = folder / "near.npy"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            near = near_misses(
                self.profile,
                self.compute,
                latents,
                count,
                tokenizer=self.tokenizer(),
                text=text,
                unet=unet,
                seed=self.seed + 4,
            )
            np.save(file.with_suffix(".part.npy"), near.numpy())
            file.with_suffix(".part.npy").replace(file)
        stage = PolishStage(
            self.profile,
            self.compute,
            self.trained_autoencoder(),
            self.train_sets()[0],
            latents.latents[:count],
            torch.from_numpy(np.load(file)),
        )
        steps = self.profile.polish_steps
        if not train(stage, folder, steps=steps, seed=self.seed + 5, minutes=minutes, sample_every=steps):
            return False
        model = stage.averaged()
        model.save_pretrained(folder / "final")
        if not self._gate_b(model, self.reports / "gate-b-polished.json", 800):
            raise GateMissedError(f"the polished decoder misses gate (b); see {self.reports}")
        return True

    def few_steps(self, minutes: float | None = None) -> bool:
        """Distil the trained denoiser into an adapter for a few steps. False when `minutes` ran out first."""
        self.seed_weights(10)
        stage, folder = self._few_steps_stage(), self.folder / "few-steps"
        steps = self.profile.few_steps_steps
        return train(
            stage, folder, steps=steps, seed=self.seed + 10, minutes=minutes, sample_every=steps // 5
        )

    def _few_steps_stage(self) -> FewStepsStage:
        unet, text, _ = self.trained_denoiser()
        parts = unet, text, self._best_autoencoder()
        return FewStepsStage(self.profile, self.compute, self.latent_sets(), self.tokenizer(), parts)

    def _best_autoencoder(self) -> AutoencoderTiny:
        """The polished one, where there is one."""
        polished = self.folder / "polish" / "final"
        if not polished.exists():
            return self.trained_autoencoder()
        return self.compute.place(AutoencoderTiny.from_pretrained(str(polished)).eval())

    def trained_denoiser(self) -> tuple[UNet2DConditionModel, CLIPTextModel, int]:
        """The averaged UNet and text encoder of the last checkpoint, and its step."""
        saved = load_checkpoint(self.folder / "unet" / "checkpoint.pt", self.compute.device)
        if saved is None:
            raise FileNotFoundError(f"no denoiser in {self.folder / 'unet'}; run the stage `unet` first")
        stage = self.denoiser_stage([])
        stage.load(saved["stage"])
        unet, text = stage.averaged()
        return unet, text, int(saved["step"])

    def export(self, embedded: Path, sampling: Sampling) -> list[str]:
        """Write all that is trained by now to `embedded`, a folder each; returns their names."""
        done = []
        if (self.folder / "probe" / "final").exists():
            self.trained_probe().save(embedded / "probe")
            done.append("probe")
        if (self.folder / "clip" / "final").exists():
            export_clip(embedded / EMBEDDED_CLIP, self.trained_clip(), self.folder / "tokenizer")
            done.append(EMBEDDED_CLIP)
        if (self.folder / "unet" / "checkpoint.pt").exists():
            unet, text, step = self.trained_denoiser()
            folder = embedded / EMBEDDED_MODEL
            export_model(
                folder,
                tokenizer=self.folder / "tokenizer",
                text=text,
                vae=self._best_autoencoder(),
                unet=unet,
                size=self.profile.native_size,
                defaults=sampling.defaults(),
            )
            done.append(f"{EMBEDDED_MODEL} of step {step}")
            saved = load_checkpoint(self.folder / "few-steps" / "checkpoint.pt", self.compute.device)
            if saved is not None:
                stage = self._few_steps_stage()
                stage.load(saved["stage"])
                export_few_steps(folder, stage)
                done.append(f"its few-step variant of step {saved['step']}")
        return done
