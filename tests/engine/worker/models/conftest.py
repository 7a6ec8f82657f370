"""What pictures begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.engine.tiny import SIDE
from tests.engine.worker.models.pipelines import write_picture_and_mask


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A picture and a mask, as the arguments of a request."""
    return write_picture_and_mask(tmp_path_factory.mktemp("files"), SIDE)
