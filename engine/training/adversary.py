"""A critic of texture: what absolute errors forgive as blur, it learns to tell from the real thing.

A pencil's lines and a paper's grains lie where nobody can foretell, and the nearest guess to all of them is grey. A network that
looks at small patches (Isola et al. 2017) asks for them all the same, as in latent diffusion's autoencoders (Esser et al. 2021).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.training.compute import Compute

RATE = 4e-4
SHARE = 0.8
"""Of the gradient that absolute errors send through the last layer, what the critic sends."""
COARSE = 4


class Critic(nn.Module):
    """Pictures (n, 3, h, w) beside their real ones made coarse → (n, 1, h / 4, w / 4): real above 1, made up below −1."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 3 * width, 3, padding=1),
            nn.GroupNorm(8, 3 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(3 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor, real: Tensor) -> Tensor:
        # Told what is to be seen, it judges how that is drawn, and not whether something else would be likelier.
        coarse = functional.avg_pool2d(real, COARSE)
        coarse = functional.interpolate(coarse, scale_factor=COARSE, mode="bilinear")
        found: Tensor = self.layers(torch.cat([pictures, coarse], dim=1))
        return found


class Adversary:
    """A critic and its training, beside that of the network it judges."""

    def __init__(self, compute: Compute) -> None:
        self.critic = compute.place(Critic(), convolutional=True)
        self._compute = compute
        self._optimiser = torch.optim.AdamW(
            self.critic.parameters(), lr=RATE, betas=(0.5, 0.9), weight_decay=0.0, fused=True
        )

    def learn(self, made: Tensor, real: Tensor) -> Tensor:
        """One step with pictures that were made; returns the hinge loss, 0-dim."""
        self.critic.requires_grad_(True)
        with self._compute.autocast():
            yes, no = self.critic(real, real).float(), self.critic(made.detach(), real).float()
        loss = functional.relu(1 - yes).mean() + functional.relu(1 + no).mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.detach()

    def objection(self, made: Tensor, real: Tensor, error: Tensor, last: nn.Parameter) -> Tensor:
        """What to add to `error`, 0-dim each: weighed so that through `last`, the layer that made the pictures, it pulls SHARE
        times as hard (Esser et al. 2021).
        """
        self.critic.requires_grad_(False)
        with self._compute.autocast():
            objection = -self.critic(made, real).float().mean()
        pulls = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (error, objection)]
        return SHARE * (pulls[0] / (pulls[1] + 1e-6)).clamp(max=100.0).detach() * objection

    def state(self) -> dict[str, Any]:
        return {"critic": self.critic.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])
