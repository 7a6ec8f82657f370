"""How many rows a picture takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.catalog import Guidance
from engine.passes import rows_per_picture
from tests.engine.scheduling import Harness, model, request, z_image


@pytest.mark.parametrize(
    ("width", "height", "rows"),
    [(512, 512, 1), (1024, 1024, 1), (1168, 944, 1), (1360, 1024, 2), (1536, 1536, 3), (2048, 2048, 4)],
)
def test_rows_weigh_by_their_size_where_sizes_mix(width: int, height: int, rows: int) -> None:
    info = z_image()
    new = request("a", model=info.name, width=width, height=height, guidance_scale=0.0)
    assert rows_per_picture(new, info) == rows
    guided = replace(new, params=replace(new.params, guidance_scale=2.0))
    assert rows_per_picture(guided, info) == 2 * rows
    assert rows_per_picture(request("b", width=width, height=height), model()) == 2, (
        "one size, one budget of its own"
    )


@pytest.mark.parametrize(
    ("guidance", "changes", "rows"),
    [
        (Guidance.CLASSIFIER_FREE, {"guidance_scale": 1.0}, 1),
        (Guidance.CLASSIFIER_FREE, {"guidance_scale": 1.5}, 2),
        (Guidance.FROM_ZERO, {"guidance_scale": 0.0}, 1),
        (Guidance.FROM_ZERO, {"guidance_scale": 0.5}, 2),
        (Guidance.EMBEDDED, {"guidance_scale": 3.5}, 1),
        (Guidance.EMBEDDED, {"guidance_scale": 3.5, "negative_prompt": "dog"}, 2),
        (Guidance.CONDITION, {"guidance_scale": 3.5, "negative_prompt": "dog"}, 1),
        (Guidance.NONE, {"guidance_scale": 3.5, "negative_prompt": "dog"}, 1),
    ],
)
def test_rows_of_a_picture(guidance: Guidance, changes: dict[str, Any], rows: int) -> None:
    harness = Harness()
    harness.scheduler.add(request("one", **changes), replace(model(), guidance=guidance))
    batch = harness.scheduler.schedule()
    assert batch is not None
    assert batch.rows == 2 * rows
    assert [picture.rows for picture in batch.pictures] == [rows, rows]
