"""The rest of the recipe, unCLIP's: the network that enlarges, the prior, the decoder, and the folder they ship in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.config import EMBEDDED_CLIP, EMBEDDED_UPSCALER
from engine.training import gates
from engine.training.checkpoint import load_checkpoint
from engine.training.contrastive import embed_pictures
from engine.training.dataset import Pictures
from engine.training.decoder import DecoderStage
from engine.training.drawing import Sampling
from engine.training.export_unclip import NAME, export_unclip
from engine.training.loop import train
from engine.training.prior import EXPLAINED, EmbeddedSet, PriorStage, build_prior_schedule
from engine.training.recipe import GateMissedError, Recipe
from engine.training.scenes.spec import Side
from engine.training.upscaler import UpscalerStage, gain, save_upscaler
from engine.worker.embedding_space import EmbeddingSpace
from engine.worker.super_resolution import CompactUpscaler

LARGE_SEED, LARGE_TEST_SEED = 31, 231
LARGE_TESTS = 100


@dataclass(frozen=True, slots=True)
class Cascade:
    """What goes on where the recipe has rendered pictures and trained CLIP."""

    recipe: Recipe

    def upscaler(self, minutes: float | None = None) -> bool:
        """Train the network that enlarges; its gate. False when `minutes` ran out first."""
        recipe, profile = self.recipe, self.recipe.profile
        folder, side = recipe.folder / "upscaler", 2 * profile.native_size
        recipe.seed_weights(7)
        large = recipe.pictures(profile.upscaler_pictures, LARGE_SEED, (side, side))
        stage = UpscalerStage(profile, recipe.compute, large)
        steps = profile.upscaler_steps
        if not train(stage, folder, steps=steps, seed=recipe.seed + 7, minutes=minutes, sample_every=800):
            return False
        save_upscaler(stage.averaged(), folder / "final")
        test = recipe.pictures(LARGE_TESTS, LARGE_TEST_SEED, (side, side), Side.HELD_OUT)
        network = recipe.compute.place(CompactUpscaler.load(folder / "final"))
        found = gain(network, [np.asarray(picture) for picture in test.pixels])
        report = recipe.reports / "gate-upscaler.json"
        floors = {"gain": gates.UPSCALER_GAIN}
        if not gates.judge("upscaler: PSNR in dB at 4x", found, floors, report, pictures=len(test)):
            raise GateMissedError(f"the network that enlarges misses its gate; see {report}")
        return True

    def prior(self, minutes: float | None = None) -> bool:
        """Train the prior. False when `minutes` ran out first."""
        recipe = self.recipe
        recipe.seed_weights(8)
        stage, folder = self._prior_stage(), recipe.folder / "prior"
        steps = recipe.profile.prior_steps
        return train(stage, folder, steps=steps, seed=recipe.seed + 8, minutes=minutes)

    def decoder(self, minutes: float | None = None) -> bool:
        """Train the decoder, from the denoiser's weights on. False when `minutes` ran out first."""
        recipe = self.recipe
        recipe.seed_weights(9)
        unet, _, _ = recipe.trained_denoiser()
        stage, folder = self._decoder_stage(unet.state_dict()), recipe.folder / "decoder"
        steps = recipe.profile.decoder_steps
        return train(stage, folder, steps=steps, seed=recipe.seed + 9, minutes=minutes, sample_every=500)

    def export(self, embedded: Path, sampling: Sampling) -> list[str]:
        """Write what is trained by now to `embedded`; returns the folders' names."""
        recipe, done = self.recipe, []
        if (recipe.folder / "upscaler" / "final").exists():
            save_upscaler(
                CompactUpscaler.load(recipe.folder / "upscaler" / "final"), embedded / EMBEDDED_UPSCALER
            )
            done.append(EMBEDDED_UPSCALER)
        trained = [
            load_checkpoint(recipe.folder / name / "checkpoint.pt", recipe.compute.device)
            for name in ("prior", "decoder")
        ]
        if trained[0] is not None and trained[1] is not None:
            prior, decoder = self._prior_stage(), self._decoder_stage()
            prior.load(trained[0]["stage"])
            decoder.load(trained[1]["stage"])
            export_unclip(
                embedded / NAME,
                tokenizer=recipe.folder / "tokenizer",
                processor=embedded / EMBEDDED_CLIP,
                prior=prior.averaged(),
                schedule=build_prior_schedule(prior.reach),
                space=self.space(),
                decoder=decoder.averaged(),
                defaults=sampling.defaults(),
            )
            done.append(f"{NAME} of step {trained[1]['step']}")
        return done

    def embedded_pictures(self) -> EmbeddedSet:
        """The square training pictures as CLIP sees them, once for each CLIP."""
        recipe, renders = self.recipe, self._renders()
        file = recipe.folder / "embeddings" / f"{recipe.clip_mark()}-{len(renders)}.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            found = embed_pictures(recipe.trained_clip(), renders.pixels, recipe.compute)
            np.save(file.with_suffix(".part.npy"), found.numpy())
            file.with_suffix(".part.npy").replace(file)
        return EmbeddedSet(renders.scenes, torch.from_numpy(np.load(file)))

    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace.of(self.embedded_pictures().embeddings, EXPLAINED)

    def _renders(self) -> Pictures:
        return self.recipe.square_sets()[0]

    def _prior_stage(self) -> PriorStage:
        recipe = self.recipe
        embedded = self.embedded_pictures()
        return PriorStage(
            recipe.profile,
            recipe.compute,
            embedded,
            EmbeddingSpace.of(embedded.embeddings, EXPLAINED),
            recipe.trained_clip(),
            recipe.tokenizer(),
        )

    def _decoder_stage(self, denoiser: Mapping[str, Tensor] | None = None) -> DecoderStage:
        recipe = self.recipe
        return DecoderStage(
            recipe.profile,
            recipe.compute,
            self._renders(),
            self.embedded_pictures(),
            recipe.trained_clip(),
            recipe.tokenizer(),
            denoiser,
        )
