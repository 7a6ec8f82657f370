"""The filter that some checkpoints ship with: which decoded pictures it flags."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image


class SafetyChecker:
    """A checkpoint's StableDiffusionSafetyChecker with its image processor."""

    def __init__(self, checker: Any, processor: Any) -> None:
        self._checker = checker
        self._processor = processor

    def flags(self, pictures: list[npt.NDArray[np.uint8]]) -> list[bool]:
        """For each uint8 (H, W, 3) picture, whether the checker takes it for one that should not be shown."""
        inputs = self._processor(
            [Image.fromarray(picture) for picture in pictures], return_tensors="pt"
        ).pixel_values
        parameter = next(self._checker.parameters())
        # The checker blackens what it flags in the tensor it is given; the pixels are blackened by the caller
        # instead.
        blank = torch.zeros(len(pictures), 1, dtype=torch.float32)
        _, flagged = self._checker(images=blank, clip_input=inputs.to(parameter.device, parameter.dtype))
        return [bool(flag) for flag in flagged]
