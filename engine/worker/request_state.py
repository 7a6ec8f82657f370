"""What a request is while it runs: the mutable, device-side counterpart of a Request."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.batch import BatchKey
from engine.passes import stopped_after
from engine.worker.autoencoder import Autoencoder
from engine.worker.file_cache import Held
from engine.worker.initial_picture import InitialPicture, Pixels
from engine.worker.lora.bypass import Loras
from engine.worker.prompts.embeddings import Embeddings


@dataclass(kw_only=True)
class PictureState:
    """One picture on its way through its passes. Each stage has a kind of its own, with all that its steps need: the batch
    holds nothing between steps.
    """

    request_id: str
    index: int
    steps_in_pass: int
    """How many the pass has that it is in."""
    latents: torch.Tensor
    """What is being made, whatever it is to the stage; replaced by steps."""
    later: tuple[LaterPass, ...] = ()
    """What comes after this pass."""

    weight: int = 1
    """As how many rows of the model's native size each of its rows counts; the scheduler says it with every step."""

    # Changed by every step.
    step: int = 0
    """Steps done of this pass."""
    steps_before: int = 0
    """Steps of the passes before."""
    current: LaterPass | None = None
    """The pass that it is in; None: the first."""
    predicted: torch.Tensor | None = None
    """What the last step foresaw that `latents` will be; previews show it."""

    @property
    def done(self) -> bool:
        return self.pass_done and not self.later

    @property
    def pass_done(self) -> bool:
        return self.step >= self.steps_in_pass

    def go_on(self) -> LaterPass:
        """Take the next pass up, with all of its steps to do; the caller sets what it begins with."""
        self.current, self.later = self.later[0], self.later[1:]
        self.steps_before += self.step
        self.step, self.steps_in_pass = 0, self.current.steps
        return self.current

    @property
    def steps_done(self) -> int:
        """Of all passes."""
        return self.steps_before + self.step

    @property
    def steps(self) -> int:
        """How many this picture runs, in all passes."""
        return self.steps_before + self.steps_in_pass + sum(each.steps for each in self.later)

    @property
    def foreseen(self) -> torch.Tensor:
        """What there is to see of it."""
        return self.latents if self.predicted is None else self.predicted

    @property
    def result(self) -> torch.Tensor:
        """What a pass that is done has made."""
        return self.latents

    @property
    def vague(self) -> bool:
        """Whether hardly more than its colours are foreseen yet."""
        return 8 * self.steps_done <= self.steps

    @property
    def guided(self) -> bool:
        """Whether the next step takes an unconditional row too."""
        return False

    @property
    def most_rows(self) -> int:
        """Of any of its steps, as the scheduler counts them."""
        return self.weight


@dataclass(kw_only=True)
class DenoisingState(PictureState):
    """A picture that is made out of noise. `latents` are (1, channels, height, width)."""

    # Set once, by the stage's begin.
    generator: torch.Generator
    """On the CPU, so that noise depends on neither the neighbours in a batch nor the device."""
    schedule: Schedule
    """`schedule.timesteps[step]` is the next one."""
    cond: torch.Tensor
    """(1, tokens, width): the encoded prompt."""
    uncond: torch.Tensor | None
    """The encoded negative prompt; None without guidance, and then the picture takes one row."""
    guidance_scale: float
    pooled: torch.Tensor | None = None
    """(1, width): the prompt in one vector, for UNets that read it beside the tokens."""
    uncond_pooled: torch.Tensor | None = None
    time_ids: torch.Tensor | None = None
    """(1, 6): original size, crop and target size as height and width in pixels, for UNets that are told them."""
    timestep_cond: torch.Tensor | None = None
    """(1, width): the guidance scale as a condition, for consistency-distilled UNets."""
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Shares of the schedule: outside of it the picture takes one row."""
    tiling: bool = False
    """Convolutions go on at the opposite edge."""
    region: Region | None = None
    """What of the initial picture is drawn anew; None: everything."""
    loras: Loras = ()
    """What is added to the denoiser's layers for this picture's rows."""
    autoencoder: Autoencoder | None = None
    """What the request asks for instead of the model's own, which may have left the device and come back since."""
    solver: Any = None
    """A diffusers scheduler of the picture's own, for samplers that have no vector form."""

    # Changed by every denoise.
    previous_output: torch.Tensor | None = None
    """What a multistep sampler remembers of the step before."""
    pending_noise: torch.Tensor | None = None
    """Drawn for the step under way; kept, so that a step that is tried again does not draw twice."""

    def go_on(self) -> LaterPass:
        """As of any picture; the sampler remembers nothing of the pass before."""
        taken = super().go_on()
        assert taken.schedule is not None, "noise is taken away by a schedule"
        self.schedule = taken.schedule
        self.previous_output = self.pending_noise = self.solver = None
        return taken

    @property
    def result(self) -> torch.Tensor:
        """What is to be decoded; where the pass ends early, what its last step foresaw."""
        return self.foreseen if self.steps_in_pass < len(self.schedule.timesteps) else self.latents

    @property
    def guided(self) -> bool:
        begin, end = self.guidance_interval
        return self.uncond is not None and begin <= self.step / len(self.schedule.timesteps) < end

    @property
    def most_rows(self) -> int:
        return self.weight * (1 if self.uncond is None else 2)


@dataclass(frozen=True, eq=False)
class LaterPass:
    """What a picture goes through after its first pass; sizes in pixels of the result."""

    stage: str
    """Of the family; a picture that is made small first is drawn over in the same one."""
    width: int
    height: int
    steps: int
    schedule: Schedule | None = None
    """Of a stage that takes noise away."""


@dataclass(frozen=True, eq=False)
class Region:
    """One picture's mask. Either `original` and `noise` are set or `channels`, as the UNet has four channels or nine."""

    mask: torch.Tensor
    """(1, 1, h, w), or packed as the latents are: 1 where the picture is drawn anew, 0 where it is kept."""
    original: torch.Tensor | None = None
    """Like the picture's latents: those of the initial picture."""
    noise: torch.Tensor | None = None
    """Likewise: what is added to them, always the same."""
    channels: torch.Tensor | None = None
    """(1, 1 + c, h, w): the mask, and the latents of the initial picture with the region blackened out."""


@dataclass(frozen=True, eq=False)
class NamedFiles:
    """What was read of the files that a request names."""

    loras: Loras = ()
    embeddings: Embeddings = ()
    autoencoder: Autoencoder | None = None
    picture: InitialPicture | None = None
    pictures: tuple[Pixels, ...] = ()
    """What is to be looked at or enlarged, in its own size."""

    @property
    def contents(self) -> list[Held]:
        """One for each file or folder of weights, which others may name too."""
        read: list[Held] = [lora for lora, _ in self.loras]
        read += [embedding for _, embedding in self.embeddings]
        return read if self.autoencoder is None else [*read, self.autoencoder]


@dataclass
class RequestState:
    """One request. `unread_words` and `pictures` are set by the stage's begin."""

    request: Any
    """Of a kind that the family is asked for: the front door has checked it."""
    files: NamedFiles = NamedFiles()
    indices: Sequence[int] = ()
    """The pictures that are to begin: all, or those that begin anew."""
    pictures: dict[int, Any] = field(default_factory=dict)
    """A PictureState of the stage's own kind for each that has begun."""
    unread_words: tuple[str, ...] = ()
    begun_with: dict[int, BatchKey] = field(default_factory=dict)
    """Picture → the key that it was begun with; it begins anew with any other model or copy of it, and where it is not here."""

    @property
    def seeds(self) -> Iterator[tuple[int, int]]:
        """Index and seed of each picture that is to begin."""
        return ((index, self.request.seeds[index]) for index in self.indices)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The steps that a picture runs: their timesteps, and a row of scalars for each."""

    sampler: str
    timesteps: tuple[float, ...]
    init_noise_sigma: Any
    """float or 0-dim tensor: what the initial noise is multiplied by."""
    prototype: Any
    """A diffusers scheduler with these steps set; to be copied."""
    input_scale: tuple[float, ...]
    """Per step, of float32: what the latents are divided by before the UNet reads them."""
    table: tuple[tuple[float, ...], ...] | None
    """Per step, the scalars of the vector form, of float32; None where each picture has a solver of its own."""
    draws: tuple[bool, ...]
    """Whether the step adds noise."""

    def steps(self, stop: float = 1.0) -> int:
        """How many are run of a pass of which this share is asked for."""
        return stopped_after(stop, len(self.timesteps))

    def add_noise(self, original: torch.Tensor, noise: torch.Tensor, step: int = 0) -> torch.Tensor:
        """Clean latents of any shape, as noisy as the latents are when `step` begins."""
        index = len(self.prototype.timesteps) - len(self.timesteps) + step
        scheduler = copy.copy(self.prototype)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(index)
        now = scheduler.timesteps[index : index + 1]
        noisy: torch.Tensor = (
            scheduler.scale_noise(original, now, noise)  # Flow matching's name for it, in another order.
            if hasattr(scheduler, "scale_noise")
            else scheduler.add_noise(original, noise, now)
        )
        return noisy
