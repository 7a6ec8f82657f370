"""CLIP (Radford et al. 2021): a picture and its caption meet in one space, and what lies there can be read off again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, CLIPVisionConfig

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.loop import Draws, warm_cosine
from engine.training.optimiser import Average, Optimiser
from engine.training.probe import head_losses, to_tensor
from engine.training.profile import Profile
from engine.training.scenes.captions import full_caption
from engine.training.scenes.labels import HEADS
from engine.training.text_encoder import text_config

MATRIX_RATE, OTHER_RATE = 2e-3, 1e-3
FIRST_SCALE, LARGEST_SCALE = 10.0, 60.0
"""Of the cosines, which a softmax needs apart: learnt from the first, never above the largest."""
READ_SHARE = 0.25


def build_clip(profile: Profile, tokenizer: CLIPTokenizer) -> CLIPModel:
    vision = CLIPVisionConfig(
        hidden_size=profile.clip_width,
        intermediate_size=4 * profile.clip_width,
        projection_dim=profile.clip_width,
        num_hidden_layers=profile.clip_image_layers,
        num_attention_heads=profile.clip_width // 32,
        image_size=profile.clip_side,
        patch_size=profile.clip_side // 8,
    )
    config = CLIPConfig(
        text_config=text_config(profile, tokenizer).to_dict(),
        vision_config=vision.to_dict(),
        projection_dim=profile.clip_width,
        logit_scale_init_value=float(np.log(FIRST_SCALE)),
    )
    return CLIPModel(config)


class Reader(nn.Module):
    """Names every attribute from one embedding: (n, width) → per head of HEADS (n, classes) logits.

    Pictures and texts are read by the same heads, which pulls both to the same place for the same attribute, much faster
    than contrast alone does.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in HEADS.items()})

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        return {name: head(embeddings) for name, head in self.heads.items()}


def see(model: CLIPModel, pixels: Tensor) -> Tensor:
    """(n, 3, side, side) in −1 to 1 → (n, width), of any length."""
    found: Tensor = model.visual_projection(model.vision_model(pixels).pooler_output)
    return found


def read(model: CLIPModel, ids: Tensor, mask: Tensor) -> Tensor:
    """(n, length) each → (n, width), of any length."""
    found: Tensor = model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)
    return found


class ClipStage:
    """Trains both towers on renders and fresh captions; the average of the weights is what counts."""

    def __init__(
        self, profile: Profile, compute: Compute, sets: Sequence[Pictures], tokenizer: CLIPTokenizer
    ) -> None:
        self._profile, self.compute, self._sets, self._tokenizer = profile, compute, sets, tokenizer
        self._labels = [torch.from_numpy(pictures.labels) for pictures in sets]
        self.model = compute.place(build_clip(profile, tokenizer))
        self.reader = compute.place(Reader(profile.clip_width))
        compute.trained(self.model)
        self.average = Average([self.model], decay=0.998)
        # The reader's heads are the ends of the network, which momentum alone would turn too far.
        self._optimiser = Optimiser([self.model], matrix_rate=MATRIX_RATE, other_rate=OTHER_RATE)
        self._reader_optimiser = torch.optim.AdamW(self.reader.parameters(), lr=OTHER_RATE, fused=True)

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        which = int(draws.numbers.integers(len(self._sets)))
        pictures = self._sets[which]
        rows = np.sort(draws.numbers.choice(len(pictures), self._profile.clip_batch, replace=False))
        captions = [full_caption(pictures.scenes[row], draws.numbers) for row in rows]
        pixels = to_tensor(pictures.pixels[rows], self.compute)
        pixels = pixels + 0.03 * self.compute.move(torch.randn(pixels.shape, generator=draws.tensors))
        wanted = self.compute.move(self._labels[which][rows])
        ids, mask = (self.compute.move(part) for part in tokens(self._tokenizer, captions))
        with self.compute.attention(), self.compute.autocast():
            seen, told = see(self.model, pixels).float(), read(self.model, ids, mask).float()
        scale = self.model.logit_scale.exp().clamp(max=LARGEST_SCALE)
        cosines = scale * functional.normalize(seen, dim=1) @ functional.normalize(told, dim=1).T
        # Two captions of one and the same scene are both right.
        same = (wanted[:, None] == wanted[None]).all(dim=2).float()
        target = same / same.sum(dim=1, keepdim=True)
        contrast = (
            functional.cross_entropy(cosines, target) + functional.cross_entropy(cosines.T, target)
        ) / 2
        named_seen = torch.stack(list(head_losses(self.reader(seen), wanted).values())).sum()
        named_told = torch.stack(list(head_losses(self.reader(told), wanted).values())).sum()
        (contrast + READ_SHARE * (named_seen + named_told)).backward()
        factor = warm_cosine(index, progress, warm=100, hold=0.3, floor=0.02)
        norm = self._optimiser.step(factor, clip=2.0)
        for group in self._reader_optimiser.param_groups:
            group["lr"] = OTHER_RATE * factor
        self._reader_optimiser.step()
        self._reader_optimiser.zero_grad()
        self.average.update(index)
        return {
            "contrast": contrast.detach(),
            "picture": named_seen.detach(),
            "text": named_told.detach(),
            "scale": scale.detach(),
            "gradient": norm,
        }

    def averaged(self) -> CLIPModel:
        model = self.compute.place(build_clip(self._profile, self._tokenizer))
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self.average.values, strict=True):
                parameter.copy_(value)
            model.logit_scale.clamp_(max=float(np.log(LARGEST_SCALE)))
        return model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "reader": self.reader.state_dict(),
            "average": self.average.values,
            "optimiser": self._optimiser.state(),
            "reader_optimiser": self._reader_optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.reader.load_state_dict(state["reader"])
        self.average.load(state["average"])
        self._optimiser.load(state["optimiser"])
        self._reader_optimiser.load_state_dict(state["reader_optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """What it can do is a number: see `retrieval`."""


def tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(n, length) ids and mask, as long as the longest of them: what is padded is masked, and costs time all the same."""
    made = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    return made.input_ids, made.attention_mask


@torch.inference_mode()
def embed_pictures(
    model: CLIPModel, pixels: npt.NDArray[np.uint8], compute: Compute, batch: int = 100
) -> Tensor:
    """(n, side, side, 3) uint8 → (n, width) on the host, as long as the tower makes them."""
    parts = [
        see(model, to_tensor(pixels[start : start + batch], compute)).float().cpu()
        for start in range(0, len(pixels), batch)
    ]
    return torch.cat(parts)


@torch.inference_mode()
def embed_texts(
    model: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str], compute: Compute, batch: int = 256
) -> Tensor:
    """(n, width) on the host, as long as the tower makes them."""
    parts = []
    for start in range(0, len(texts), batch):
        ids, mask = (compute.move(part) for part in tokens(tokenizer, texts[start : start + batch]))
        parts.append(read(model, ids, mask).float().cpu())
    return torch.cat(parts)


def retrieval(seen: Tensor, told: Tensor, among: int) -> dict[str, float]:
    """Row i of each belongs together: how often the right one of `among` is the nearest (R@1), both ways."""
    seen, told = functional.normalize(seen, dim=1), functional.normalize(told, dim=1)
    texts, pictures = [], []
    for start in range(0, len(seen) - among + 1, among):
        cosines = seen[start : start + among] @ told[start : start + among].T
        right = torch.arange(among)
        texts.append((cosines.argmax(dim=1) == right).float().mean())
        pictures.append((cosines.argmax(dim=0) == right).float().mean())
    return {
        "text_of_picture": float(torch.stack(texts).mean()),
        "picture_of_text": float(torch.stack(pictures).mean()),
    }
