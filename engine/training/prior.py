"""The prior of unCLIP (Ramesh et al. 2022, section 2.2): diffusion over CLIP's image embeddings, told the caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from engine.training.compute import Compute
from engine.training.loop import Draws
from engine.training.profile import Profile
from engine.training.scenes.captions import caption
from engine.training.scenes.spec import Scene
from engine.training.stage import AveragedStage
from engine.training.text_encoder import token_ids
from engine.worker.embedding_space import EmbeddingSpace

EXPLAINED = 0.999
"""The share of the embeddings' variance that the space keeps."""
HEAD_WIDTH = 32


@dataclass(frozen=True, slots=True)
class EmbeddedSet:
    """On the host: `embeddings` (n, width) of the scenes' pictures, as long as CLIP makes them."""

    scenes: Sequence[Scene]
    embeddings: Tensor


def build_prior(profile: Profile, space: EmbeddingSpace) -> PriorTransformer:
    prior = PriorTransformer(
        num_attention_heads=profile.clip_width // HEAD_WIDTH,
        attention_head_dim=HEAD_WIDTH,
        num_layers=profile.prior_layers,
        embedding_dim=space.width,
        embedding_proj_dim=profile.clip_width,
        num_embeddings=profile.text_length,
        # Words are as wide as the prior already.
        encoder_hid_proj_type=None,
    )
    # What brings a prior's output back to embeddings begins as zeros there. The space does that work here.
    nn.init.zeros_(prior.clip_mean.requires_grad_(False))
    nn.init.ones_(prior.clip_std.requires_grad_(False))
    return prior


def build_prior_schedule(reach: float) -> UnCLIPScheduler:
    """`reach`: the largest coordinate there is; what the prior foresees is clipped to it."""
    return UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=round(reach, 2)
    )


class PriorStage(AveragedStage[PriorTransformer]):
    """Trains on coordinates in the space; one caption in ten or so is empty, which guidance leads away from."""

    def __init__(
        self,
        profile: Profile,
        compute: Compute,
        pictures: EmbeddedSet,
        space: EmbeddingSpace,
        clip: CLIPModel,
        tokenizer: CLIPTokenizer,
    ) -> None:
        super().__init__(
            compute, lambda: build_prior(profile, space), matrix_rate=1e-3, other_rate=5e-4, decay=0.999
        )
        self._profile, self._scenes = profile, pictures.scenes
        self._coordinates = space.coordinates(pictures.embeddings)
        self._clip, self._tokenizer = clip, tokenizer
        alphas = compute.move(build_prior_schedule(1.0).alphas_cumprod)
        self._signal, self._noise = alphas.sqrt()[:, None], (1 - alphas).sqrt()[:, None]

    @property
    def reach(self) -> float:
        """The largest coordinate of a picture that it was shown."""
        return float(self._coordinates.abs().max())

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        rows = draws.numbers.choice(len(self._scenes), self._profile.prior_batch, replace=False)
        captions = [caption(self._scenes[row], draws.numbers) for row in rows]
        clean = self.compute.move(self._coordinates[rows])
        noise = self.compute.move(torch.randn(clean.shape, generator=draws.tensors))
        times = self.compute.move(torch.randint(len(self._signal), (len(rows),), generator=draws.tensors))
        told = read_captions(self._clip, self._tokenizer, captions, self._profile.text_length, self.compute)
        with self.compute.attention(), self.compute.autocast():
            guess = self.model(
                self._signal[times] * clean + self._noise[times] * noise,
                timestep=times,
                proj_embedding=told.embedding,
                encoder_hidden_states=told.words,
                attention_mask=told.mask,
            ).predicted_image_embedding
        loss = (guess.float() - clean).square().mean()
        norm = self.descend(loss, index, progress)
        return {"loss": loss.detach(), "gradient": norm}


@dataclass(frozen=True, slots=True)
class Told:
    """Captions as the cascade reads them: `embedding` (n, width), `words` (n, tokens, width), `mask` (n, tokens) bool."""

    embedding: Tensor
    words: Tensor
    mask: Tensor


@torch.no_grad()
def read_captions(
    clip: CLIPModel, tokenizer: CLIPTokenizer, captions: Sequence[str], length: int, compute: Compute
) -> Told:
    """Through the frozen text tower, filled up to the window's end as diffusers' pipelines do it."""
    ids = token_ids(tokenizer, captions, length)
    # The end of the text fills up what is left, so only the first of them counts.
    ends = (ids == tokenizer.eos_token_id).cumsum(dim=1)
    mask = compute.move((ends == 0) | ((ends == 1) & (ids == tokenizer.eos_token_id)))
    with compute.autocast():
        read = clip.text_model(compute.move(ids))
        embedding = clip.text_projection(read.pooler_output)
    return Told(embedding.float(), read.last_hidden_state.float(), mask)
