"""The text encoder: a small CLIPTextModel that first learns to read, by naming a caption's attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.training.compute import Compute
from engine.training.loop import Draws, warm_cosine
from engine.training.probe import head_losses
from engine.training.profile import Profile
from engine.training.scenes.captions import full_caption
from engine.training.scenes.labels import HEADS, labels_of
from engine.training.scenes.spec import Side, draw_scenes
from engine.training.scenes.subjects import FLYING

PEAK_RATE = 1e-3


def text_config(profile: Profile, tokenizer: CLIPTokenizer, *, width: int, layers: int) -> CLIPTextConfig:
    """Of a text tower that reads the tokenizer's words."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=profile.text_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_text_encoder(profile: Profile, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = text_config(profile, tokenizer, width=profile.text_width, layers=profile.text_layers)
    return CLIPTextModel(config)


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    """(n, length) ids, padded and cut as the Stable Diffusion pipeline does it."""
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


class TextStage:
    """Warm start: a caption's pooled vector must name all attributes."""

    def __init__(self, profile: Profile, compute: Compute, tokenizer: CLIPTokenizer) -> None:
        self._profile, self.compute, self._tokenizer = profile, compute, tokenizer
        self.model = compute.place(build_text_encoder(profile, tokenizer))
        heads = {name: nn.Linear(profile.text_width, len(values)) for name, values in HEADS.items()}
        self.heads = compute.place(nn.ModuleDict(heads))
        parameters = [*self.model.parameters(), *self.heads.parameters()]
        self._optimiser = torch.optim.AdamW(parameters, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        scenes = draw_scenes(
            self._profile.text_batch, int(draws.numbers.integers(2**62)), Side.TRAIN, flying=FLYING
        )
        captions = [full_caption(scene, draws.numbers) for scene in scenes]
        wanted = self.compute.move(torch.from_numpy(labels_of(scenes)))
        for group in self._optimiser.param_groups:
            group["lr"] = PEAK_RATE * warm_cosine(index, progress, warm=30, hold=0.5, floor=0.1)
        ids = token_ids(self._tokenizer, captions, self._profile.text_length)
        pooled = self.model(self.compute.move(ids)).pooler_output
        losses = head_losses({name: head(pooled) for name, head in self.heads.items()}, wanted)
        self._optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self._optimiser.load_state_dict(state["optimiser"])

    def sample(self, folder: object, index: int) -> None:
        """Words have no picture yet."""
