"""Filling a step up changes neither what its rows become nor what they are asked with."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from engine.worker.row_buckets import BUCKETS, in_bucket


@pytest.mark.parametrize(
    ("rows", "width"), [(1, 1), (2, 2), (3, 4), (9, 12), (16, 16), (17, 24), (64, 64), (70, 70)]
)
def test_rows_are_filled_up_and_cut_off_again(rows: int, width: int) -> None:
    seen: list[int] = []

    def denoiser(sample: Any, times: Any, *, text: Any, extra: Any, return_dict: bool) -> tuple[torch.Tensor]:
        assert len(sample) == len(times) == len(text) == len(extra["pooled"])
        assert extra["table"].shape == (rows + 1, 2)
        assert not return_dict
        seen.append(len(sample))
        return (sample * times.view(-1, 1) + text + extra["pooled"],)

    sample, text = torch.randn(rows, 3), torch.randn(rows, 3)
    times, pooled = torch.arange(rows).float(), torch.randn(rows, 3)
    extra = {"pooled": pooled, "table": torch.zeros(rows + 1, 2)}
    predicted = in_bucket(denoiser, sample, times, text=text, extra=extra, return_dict=False)
    assert seen == [width]
    assert torch.equal(predicted, sample * times.view(-1, 1) + text + pooled)


def test_a_bucket_wastes_at_most_half() -> None:
    assert all(following <= 2 * bucket for bucket, following in itertools.pairwise(BUCKETS))
