"""A scheduler on a clock that the test turns, and requests for it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from engine import EngineConfig, GenerateRequest, Lane, ModelInfo, SamplingParams
from engine.batch import PictureProgress, ScheduledBatch
from engine.catalog import read_model
from engine.forecast import Forecast
from engine.scheduler import Scheduler

MODEL = "owner/model"
OTHER = "owner/other"


@cache
def model(name: str = MODEL) -> ModelInfo:
    """What the catalogue assumes of a hub model that is not in an empty cache."""
    return read_model(name, EngineConfig(cache_dir=Path("nowhere")))


def request(request_id: str, **changes: Any) -> GenerateRequest:
    params = {"num_inference_steps": 3, "guidance_scale": 5.0, "sampler": "ddim", "width": 512, "height": 512}
    params["negative_prompt"] = ""
    params |= {name: changes.pop(name) for name in list(changes) if name in params}
    values = {"prompt": "", "model": MODEL, "seeds": (0, 1), "submitted_at": 0.0} | changes
    return GenerateRequest(request_id=request_id, params=SamplingParams(**params), **values)


class Harness:
    """A scheduler, a clock, and a device that does one step of whatever it is given."""

    def __init__(self, row_budget: int = 8, ready: tuple[str, ...] = (MODEL,), **options: float) -> None:
        self.now = 0.0
        self.scheduler = Scheduler(row_budget, lambda: self.now, set(ready), **options)  # type: ignore[arg-type]
        self.forecast = Forecast(self.scheduler)
        self.service: Counter[str] = Counter()
        self.steps: Counter[tuple[str, int]] = Counter()
        self.finished: list[str] = []

    def add(self, *requests: GenerateRequest) -> None:
        for new in requests:
            self.scheduler.add(new, model(new.model))

    def tick(self) -> ScheduledBatch | None:
        batch = self.scheduler.schedule()
        self.now += 1.0
        if batch is None:
            return None
        progress = []
        for picture in batch.pictures:
            key = (picture.request.request_id, picture.index)
            self.steps[key] += 1
            self.service[picture.request.share_key] += picture.rows
            steps = picture.request.params.num_inference_steps
            done = self.steps[key] == steps
            progress.append(PictureProgress(*key, self.steps[key], steps, None if done else batch.key))
        self.finished += self.scheduler.update(progress)
        return batch

    def ids(self, batch: ScheduledBatch | None) -> list[str]:
        assert batch is not None
        return list(dict.fromkeys(picture.request.request_id for picture in batch.pictures))


REQUESTS = st.builds(
    dict,
    seeds=st.integers(1, 4).map(lambda n: tuple(range(n))),
    num_inference_steps=st.integers(1, 5),
    guidance_scale=st.sampled_from([1.0, 7.0]),
    width=st.sampled_from([256, 512]),
    lane=st.sampled_from(Lane),
    share_key=st.sampled_from("abc"),
    share_weight=st.sampled_from([0.5, 1.0, 4.0]),
    model=st.sampled_from([MODEL, OTHER]),
)


def z_image() -> ModelInfo:
    """A model whose steps hold pictures of different sizes."""
    return read_model("Tongyi-MAI/Z-Image-Turbo", EngineConfig(cache_dir=Path("nowhere")))
