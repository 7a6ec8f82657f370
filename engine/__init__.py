"""The engine's front door. Importing it loads no torch.

catalog       what a model is, read from its files without loading it
request       what may be asked            validation              whether a model can make it
output        what comes back              output_stream           how it gets there
scheduler     which pictures step next     shares                  whose turn it is
waiting       what it knows of a request   row_budget, step_cost   how wide a step should be
forecast      when everybody's turn comes  paces                   how long steps and loads take
batch         what steps are made of       passes                  what a picture goes through
tiles         how pictures are cut to be enlarged
placement     which models come and go     residents               what they take of the memory
executor      the line no tensor crosses
core          schedule → execute → update  async_engine, launch    its asyncio face, and how it is built
worker/       the device plane, the only part that touches tensors
training/, benchmark/   how the embedded models were made; how the engine is measured
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.catalog import ModelInfo, Operation
from engine.config import EMBEDDED_MODEL, EngineConfig
from engine.errors import EngineDead, EngineError, GenerationFailed, ModelUnavailable, RequestRejected
from engine.output import (
    EmbeddingReady,
    EngineStats,
    FinishReason,
    ImageReady,
    Loading,
    Progress,
    Queued,
    RequestOutput,
    Safety,
    TextReady,
    Update,
)
from engine.output_stream import OutputStream
from engine.request import (
    DescribeRequest,
    EmbedRequest,
    GenerateRequest,
    Hires,
    Lane,
    Reference,
    Request,
    SamplingParams,
    UpscaleRequest,
)


class Engine(Protocol):
    """What the bot may ask of an engine. AsyncEngine is the local one; a pool of many GPUs can be another."""

    def submit(self, request: Request) -> OutputStream:
        """Queue a request; call on the event loop. Raises RequestRejected (nothing queued) or EngineDead."""
        ...

    def abort(self, request_id: str) -> None:
        """Stop a request within one denoising step; unknown ids are ignored. Its stream ends with ABORTED."""
        ...

    def models(self) -> Sequence[ModelInfo]:
        """The models that requests may name, the default first."""
        ...

    def stats(self) -> EngineStats:
        """A snapshot of queue and device; never blocks."""
        ...


__all__ = [
    "EMBEDDED_MODEL",
    "DescribeRequest",
    "EmbedRequest",
    "EmbeddingReady",
    "Engine",
    "EngineConfig",
    "EngineDead",
    "EngineError",
    "EngineStats",
    "FinishReason",
    "GenerateRequest",
    "GenerationFailed",
    "Hires",
    "ImageReady",
    "Lane",
    "Loading",
    "ModelInfo",
    "ModelUnavailable",
    "Operation",
    "OutputStream",
    "Progress",
    "Queued",
    "Reference",
    "Request",
    "RequestOutput",
    "RequestRejected",
    "Safety",
    "SamplingParams",
    "TextReady",
    "Update",
    "UpscaleRequest",
]
