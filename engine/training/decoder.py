"""The decoder of unCLIP: small pictures by diffusion in pixels, told CLIP's image embedding and the caption's words.

Its network sees squares of pixels as one place each, as transformers do (Dosovitskiy et al. 2021), so that its grid is the
latent denoiser's, whose trained blocks it begins with: shapes and words need not be learnt a second time. It predicts the
picture, because noise of so many values a place would fill up its channels (Li and He 2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.denoiser import SUBJECT_WEIGHT, build_noise_schedule
from engine.training.loop import Draws
from engine.training.prior import EmbeddedSet, read_captions
from engine.training.probe import to_tensor
from engine.training.profile import Profile
from engine.training.scenes.captions import caption
from engine.training.sheets import save_sheet
from engine.training.stage import AveragedStage

EXTRA_TOKENS = 4
"""Beside the words, the image embedding comes as this many tokens."""
SHRINKS = 2
"""How many times smaller than the renders its pictures are."""
UNTOLD_SHARE = 0.08
"""Of the pictures that are told nothing at all, which is what guidance leads away from."""
DROPPED_SHARE = 0.08
"""Of the embeddings alone, the caption being there."""
BLURRED_SHARE = 0.25
"""Of the embeddings that have noise added, because a prior's are not exact either: then words have to be believed too."""
ENDS = ("conv_in.", "conv_out.")
"""The layers of the network that know latents from pixels."""
BLUR = 0.5
"""The most noise that is added, as a share of the embedding's length."""
LEAST_SPREAD = 0.2
"""Of the noise's variance, below which errors weigh no more."""


def build_decoder_schedule() -> DDIMScheduler:
    """The latent denoiser's, of a network that predicts the picture."""
    return DDIMScheduler.from_config(build_noise_schedule().config, prediction_type="sample")


class Decoder(nn.Module):
    """The network and what turns embeddings into its conditions, trained together."""

    def __init__(self, profile: Profile, denoiser: Mapping[str, Tensor] | None = None) -> None:
        """`denoiser`: the state dictionary of the latent denoiser's network, which it begins with."""
        super().__init__()
        self.patch = profile.factor // SHRINKS
        """Pixels along the side of what is one place to the network."""
        channels = 3 * self.patch**2
        self.unet = UNet2DConditionModel(
            sample_size=profile.native_size // profile.factor,
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=profile.unet_widths,
            layers_per_block=profile.unet_layers,
            cross_attention_dim=profile.clip_width,
            attention_head_dim=4,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
            class_embed_type="identity",
        )
        self.text_proj = UnCLIPTextProjModel(
            clip_extra_context_tokens=EXTRA_TOKENS,
            clip_embeddings_dim=profile.clip_width,
            time_embed_dim=4 * profile.unet_widths[0],
            cross_attention_dim=profile.clip_width,
        )
        if denoiser is not None:
            self._take_over(denoiser)

    def forward(
        self, noisy: Tensor, times: Tensor, embeddings: Tensor, told: Tensor, words: Tensor, mask: Tensor
    ) -> Tensor:
        """(n, 3, h, w) → the picture (n, 3, h, w) without its noise.

        `embeddings` of pictures and `told` of captions (n, width each), `words` (n, tokens, width), `mask` (n, tokens) bool.
        """
        context, added = self.text_proj(
            image_embeddings=embeddings,
            prompt_embeds=told,
            text_encoder_hidden_states=words,
            do_classifier_free_guidance=False,
        )
        patches: Tensor = self.unet(
            functional.pixel_unshuffle(noisy, self.patch),
            times,
            context,
            class_labels=added,
            encoder_attention_mask=functional.pad(mask, (EXTRA_TOKENS, 0), value=True),
        ).sample
        return functional.pixel_shuffle(patches, self.patch)

    @property
    def nothing(self) -> Tensor:
        """(width,): the embedding that stands for none, which guidance leads away from."""
        learnt: Tensor = self.text_proj.learned_classifier_free_guidance_embeddings
        return learnt

    def _take_over(self, denoiser: Mapping[str, Tensor]) -> None:
        own = self.unet.state_dict()
        shared = {
            name: value for name, value in denoiser.items() if name in own and not name.startswith(ENDS)
        }
        self.unet.load_state_dict(own | shared)
        # Its attention knows words as a text tower says them.
        nn.init.eye_(self.text_proj.encoder_hidden_states_proj.weight)
        nn.init.zeros_(self.text_proj.encoder_hidden_states_proj.bias)


class DecoderStage(AveragedStage[Decoder]):
    """Trains on renders at half their size, each with its own embedding and a fresh caption."""

    def __init__(
        self,
        profile: Profile,
        compute: Compute,
        pictures: Pictures,
        embedded: EmbeddedSet,
        clip: CLIPModel,
        tokenizer: CLIPTokenizer,
        denoiser: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(
            compute,
            lambda: Decoder(profile, denoiser),
            matrix_rate=1.5e-3,
            other_rate=8e-4,
            decay=0.9985,
            convolutional=True,
        )
        self._profile, self._pictures, self._embeddings = profile, pictures, embedded.embeddings
        self._clip, self._tokenizer = clip, tokenizer
        alphas = compute.move(build_decoder_schedule().alphas_cumprod)
        self._signal, self._noise = alphas.sqrt(), (1 - alphas).sqrt()

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        numbers, count = draws.numbers, self._profile.decoder_batch
        rows = np.sort(numbers.choice(len(self._pictures), count, replace=False))
        clean = functional.avg_pool2d(to_tensor(self._pictures.pixels[rows], self.compute), SHRINKS)
        masks = self.compute.move(torch.from_numpy(np.array(self._pictures.masks[rows]))).float().div_(255)
        masks = functional.interpolate(masks[:, None], clean.shape[2:], mode="bilinear")
        chance = numbers.random(count)
        captions = [
            "" if at < UNTOLD_SHARE else caption(self._pictures.scenes[row], numbers)
            for at, row in zip(chance, rows, strict=True)
        ]
        told = read_captions(self._clip, self._tokenizer, captions, self._profile.text_length, self.compute)
        embeddings = self.compute.move(self._blurred(self._embeddings[rows], draws))
        dropped = self.compute.move(torch.from_numpy(chance[:, None] < UNTOLD_SHARE + DROPPED_SHARE))
        embeddings = torch.where(dropped, self.model.nothing, embeddings)
        even = (torch.arange(count) + torch.rand(count, generator=draws.tensors)) / count
        times = self.compute.move((even * 1000).long().clamp(0, 999))
        noise = self.compute.move(torch.randn(clean.shape, generator=draws.tensors))
        signal, spread = self._signal[times, None, None, None], self._noise[times, None, None, None]
        noisy = signal * clean + spread * noise
        with self.compute.attention(), self.compute.autocast():
            guess = self.model(
                self.compute.lay_out(noisy), times, embeddings, told.embedding, told.words, told.mask
            )
        weight = 1 + SUBJECT_WEIGHT * masks
        # As the velocity's error weighs it, but for the last of the noise, which is no more than grain.
        error = (guess.float() - clean).square() / spread.square().clamp(min=LEAST_SPREAD)
        loss = (error * (weight / weight.mean())).mean()
        norm = self.descend(loss, index, progress, hold=0.25, clip=2.0)
        return {"loss": loss.detach(), "error": error.detach().mean(), "gradient": norm}

    @staticmethod
    def _blurred(embeddings: Tensor, draws: Draws) -> Tensor:
        numbers, count = draws.numbers, len(embeddings)
        shares = BLUR * numbers.random((count, 1)) * (numbers.random((count, 1)) < BLURRED_SHARE)
        noise = torch.randn(embeddings.shape, generator=draws.tensors)
        length = embeddings.norm(dim=1, keepdim=True) / embeddings.shape[1] ** 0.5
        return embeddings + torch.from_numpy(shares).float() * length * noise

    @torch.inference_mode()
    def sample(self, folder: Path, index: int) -> None:
        """Pictures above what is drawn after their embeddings, without words."""
        model, schedule = self.averaged(), build_decoder_schedule()
        schedule.set_timesteps(20)
        real = to_tensor(np.array(self._pictures.pixels[:16]), self.compute)
        count = len(real)
        embeddings = self.compute.move(self._embeddings[:count])
        told = read_captions(self._clip, self._tokenizer, [""], self._profile.text_length, self.compute)
        words, mask = told.words.expand(count, -1, -1), told.mask.expand(count, -1)
        generator = torch.Generator().manual_seed(0)
        side = real.shape[2] // SHRINKS
        state = self.compute.move(torch.randn((count, 3, side, side), generator=generator))
        for time in schedule.timesteps:
            times = time.expand(count).to(state.device)
            guess = model(state, times, embeddings, told.embedding.expand(count, -1), words, mask)
            state = schedule.step(guess.float(), time, state).prev_sample
        both: Sequence[Tensor] = (functional.avg_pool2d(real, SHRINKS), state)
        pixels = [
            ((each.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for each in both
        ]
        rows = [picture for i in range(0, count, 8) for part in pixels for picture in part[i : i + 8]]
        save_sheet(rows, 8, folder / f"sheet-{index:06}.png")
