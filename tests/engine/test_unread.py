"""What a model would leave out in silence is refused with a sentence, and only where it was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import RequestRejected
from engine.catalog import Guidance
from engine.validation import validate
from tests.engine.bench import Bench, make_request, with_params
from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_xl import write_tiny_xl


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"negative_prompt": "dog"}, "negative_prompt_unsupported"),
        ({"guidance_interval": (0.0, 0.5)}, "guidance_interval_unsupported"),
        ({"guidance_rescale": 0.7}, "guidance_rescale_unsupported"),
    ],
)
def test_models_without_guidance(tiny_model: Path, changes: dict[str, Any], code: str) -> None:
    info = Bench(tiny_model).info
    plain = with_params(make_request(tiny_model), negative_prompt="")
    asked = with_params(plain, **changes)
    validate(asked, info)
    unguided = replace(info, guidance=Guidance.NONE)
    validate(plain, unguided)
    with pytest.raises(RequestRejected, match="without guidance") as caught:
        validate(asked, unguided)
    assert caught.value.code == code


@pytest.mark.parametrize("write", [write_tiny_model, write_tiny_xl])
def test_a_unet_that_was_distilled_with_its_guidance(tmp_path: Path, write: Any) -> None:
    model = write(tmp_path / "model", time_cond_proj_dim=8)
    bench = Bench(model)
    assert bench.info.guidance is Guidance.CONDITION
    plain = make_request(model, sampler="lcm", guidance_scale=8.0, negative_prompt="")
    validate(plain, bench.info)
    for changes in ({"negative_prompt": "dog"}, {"guidance_interval": (0.0, 0.5)}, {"guidance_rescale": 0.7}):
        with pytest.raises(RequestRejected, match="as a condition") as caught:
            validate(with_params(plain, **changes), bench.info)
        assert caught.value.code == f"{next(iter(changes))}_unsupported"
    assert len(bench.run(plain)["one"].pixels) == 2
    assert set(bench.rows) == {2}, "a row for each of two pictures"
