"""A model and a job that tests begin from."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from bot.domain import Action, Destination, Job, JobState, Parameters
from bot.prompting import picture_seeds, sampling_for
from engine import ModelInfo
from engine.catalog.families import DRAWING

MODEL = ModelInfo(
    name="test",
    title="Test",
    family="stable-diffusion",
    native_width=512,
    native_height=512,
    size_multiple=8,
    min_side=256,
    max_side=1024,
    operations=DRAWING,
    samplers=("ddim",),
    default_steps=20,
    default_guidance_scale=7.5,
    default_sampler="ddim",
    memory_bytes=0,
    licence="",
    hash="0123456789",
    present=True,
)
JOB = Job(
    id=UUID(int=7),
    action=Action.IMAGINE,
    state=JobState.WAITING,
    owner_id=42,
    owner_name="Ada",
    guild_id=1,
    source="1:0",
    prompt="a cat",
    parameters=Parameters(seed=5, no=("dogs",)),
    model="test",
    sampling=sampling_for(Parameters(seed=5, no=("dogs",)), MODEL),
    seeds=picture_seeds(5, 4),
    destination=Destination(channel_id=3),
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
)
