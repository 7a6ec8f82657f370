"""The few-step variant: multistep consistency distillation (Heek et al. 2024) into a low-rank adapter that LCMScheduler
samples (Luo et al. 2023).

From the noise of each of its few times the student names the picture at the end of the teacher's way: the teacher walks as far as
the student's next time, and from there the student itself is asked. The teacher's guidance is built in, so that a step costs one
row instead of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.training.autoencoder import decode
from engine.training.compute import Compute
from engine.training.denoiser import LatentSet, build_noise_schedule
from engine.training.loop import Draws, warm_cosine
from engine.training.low_rank import adapt, load_weights, save_adapters, switch, trained_weights
from engine.training.optimiser import Average
from engine.training.pipeline import SAMPLE_PROMPTS
from engine.training.profile import Profile
from engine.training.scenes.captions import caption
from engine.training.sheets import save_sheet
from engine.training.text_encoder import token_ids

PEAK_RATE = 1e-3
STUDENT_STEPS = 4
WALK = 4
"""The teacher's steps between two times of the student."""
GUIDANCE = 3.0
DATA_SPREAD, TIME_SCALE = 0.5, 10.0
"""LCMScheduler's: at the last times the student's answer is its input."""
SOFTNESS = 0.03
"""Where the loss passes from a square to an absolute error (pseudo-Huber, Song & Dhariwal 2023)."""


class FewStepsStage:
    """Trains an adapter; the network below it is the teacher and stays as it is."""

    def __init__(
        self,
        profile: Profile,
        compute: Compute,
        sets: Sequence[LatentSet],
        tokenizer: CLIPTokenizer,
        parts: tuple[UNet2DConditionModel, CLIPTextModel, AutoencoderTiny],
    ) -> None:
        self._profile, self._sets, self._tokenizer, self.compute = profile, sets, tokenizer, compute
        unet, self._text, self._vae = parts
        self._adapters = adapt(unet.requires_grad_(False), profile.few_steps_rank)
        self._unet = compute.place(unet, convolutional=True)
        self._weights = trained_weights(self._adapters)
        self._optimiser = torch.optim.AdamW(
            self._weights, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.average = Average([*self._adapters.values()], decay=0.995, trained=True)
        alphas = compute.move(build_noise_schedule().alphas_cumprod)
        self._signal, self._noise = alphas.sqrt(), (1 - alphas).sqrt()
        schedule = LCMScheduler.from_config(build_noise_schedule().config)
        schedule.set_timesteps(STUDENT_STEPS)
        self._times = compute.move(torch.cat([schedule.timesteps, torch.tensor([-1])]))

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        latents, captions = self._batch(draws.numbers)
        count = len(latents)
        place = torch.randint(0, STUDENT_STEPS, (count,), generator=draws.tensors)
        late, early = self._times[place], self._times[place + 1]
        noise = self.compute.move(torch.randn(latents.shape, generator=draws.tensors))
        noisy = self._at(self._signal, late) * latents + self._at(self._noise, late) * noise
        with torch.no_grad(), self.compute.autocast():
            ids = token_ids(self._tokenizer, [*captions, *[""] * count], self._profile.text_length)
            words = self._text(self.compute.move(ids)).last_hidden_state
        told = words[:count]
        with torch.no_grad():
            switch([*self._adapters.values()], on=False)
            earlier = self._walk(noisy, late, early, words)
            switch([*self._adapters.values()], on=True)
            arrived = (early < 0)[:, None, None, None]
            target = torch.where(arrived, earlier, self._foreseen(earlier, early.clamp(min=0), told))
        with self.compute.attention():
            guess = self._foreseen(noisy, late, told)
        loss = ((guess - target).square() + SOFTNESS**2).sqrt().mean() - SOFTNESS
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        for group in self._optimiser.param_groups:
            group["lr"] = PEAK_RATE * warm_cosine(index, progress, warm=50, hold=0.4, floor=0.02)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.average.update(index)
        return {"loss": loss.detach(), "gradient": norm}

    def _batch(self, numbers: np.random.Generator) -> tuple[Tensor, list[str]]:
        chosen = self._sets[int(numbers.integers(len(self._sets)))]
        rows = numbers.choice(len(chosen.scenes), self._profile.few_steps_batch, replace=False)
        return self.compute.move(chosen.latents[rows]).float(), [
            caption(chosen.scenes[row], numbers) for row in rows
        ]

    def _walk(self, state: Tensor, since: Tensor, until: Tensor, words: Tensor) -> Tensor:
        """The teacher's way, guided and by DDIM, from the time `since` to `until`; −1 is the clean picture."""
        for index in range(WALK):
            now = since + (until - since) * index // WALK
            then = since + (until - since) * (index + 1) // WALK
            with_words, without = self._velocity(state.repeat(2, 1, 1, 1), now.repeat(2), words).chunk(2)
            guided = without + GUIDANCE * (with_words - without)
            signal, spread = self._at(self._signal, now), self._at(self._noise, now)
            clean, residue = signal * state - spread * guided, spread * state + signal * guided
            moved = self._at(self._signal, then) * clean + self._at(self._noise, then) * residue
            state = torch.where((then < 0)[:, None, None, None], clean, moved)
        return state

    def _at(self, table: Tensor, times: Tensor) -> Tensor:
        return table[times.clamp(min=0), None, None, None]

    def _velocity(self, noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        with self.compute.autocast():
            made: Tensor = self._unet(self.compute.lay_out(noisy), times, words).sample
        return made.float()

    def _foreseen(self, noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        """The student's answer: its input at time 0, what it takes for the clean picture everywhere else."""
        signal, spread = self._at(self._signal, times), self._at(self._noise, times)
        clean = signal * noisy - spread * self._velocity(noisy, times, words)
        scaled = (times.float() * TIME_SCALE)[:, None, None, None]
        kept = DATA_SPREAD**2 / (scaled**2 + DATA_SPREAD**2)
        changed = scaled / (scaled**2 + DATA_SPREAD**2).sqrt()
        return kept * noisy + changed * clean

    def save(self, file: Path) -> None:
        """The averaged adapter."""
        save_adapters(self._adapters, self.average.values, file)

    def state(self) -> dict[str, Any]:
        return {
            "weights": [weight.detach() for weight in self._weights],
            "average": self.average.values,
            "optimiser": self._optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        load_weights(self._adapters, state["weights"])
        self.average.load(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])

    @torch.inference_mode()
    def sample(self, folder: Path, index: int) -> None:
        """Fixed prompts from fixed seeds in a few steps, by the averaged adapter."""
        own = [weight.detach().clone() for weight in self._weights]
        load_weights(self._adapters, self.average.values)
        schedule = LCMScheduler.from_config(build_noise_schedule().config)
        schedule.set_timesteps(STUDENT_STEPS)
        ids = self.compute.move(token_ids(self._tokenizer, SAMPLE_PROMPTS, self._profile.text_length))
        words = self._text(ids).last_hidden_state
        generator = torch.Generator().manual_seed(0)
        shape = (len(SAMPLE_PROMPTS), *self._sets[0].latents.shape[1:])
        state = self.compute.move(torch.randn(shape, generator=generator))
        for time in schedule.timesteps:
            times = time.expand(len(state)).to(state.device)
            made = schedule.step(self._velocity(state, times, words), time, state, generator=generator)
            state = made.prev_sample
        load_weights(self._adapters, own)
        save_sheet([*decode(self._vae, state.cpu(), self.compute)], 8, folder / f"sheet-{index:06}.png")
