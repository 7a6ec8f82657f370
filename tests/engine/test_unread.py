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


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"negative_prompt": "dog"}, "negative_prompt_unsupported"),
        ({"guidance_interval": (0.0, 0.5)}, "guidance_interval_unsupported"),
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
