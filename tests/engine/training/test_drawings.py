"""What is drawn stays what the shipped model learnt from, byte by byte: a moved line would be another world.

Only drawings on whole pixels are pinned; the media's floating-point finish may round otherwise on another processor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pytest
from PIL import Image

from engine.training.scenes.backdrop import BACKDROPS
from engine.training.scenes.palette import tones
from engine.training.scenes.pen import Pen
from engine.training.scenes.sky import sky
from engine.training.scenes.spec import SETTINGS, SUBJECTS, TIMES
from engine.training.scenes.stage import Stage
from engine.training.scenes.subjects import KINDS

BACKDROP_DIGESTS = {
    "sea": "3c0f37cf0168c84d",
    "meadow": "8280eb578425da1c",
    "desert": "7910afcac85ddd8d",
    "mountains": "a93316bd3de78f7e",
    "forest": "2122553b919c5735",
    "city": "709f3927fbe2874f",
}
SUBJECT_DIGESTS = {
    "sailboat": "c38b830394ec111c",
    "house": "1a1c0f048e96b530",
    "castle": "3c38f0c34d966443",
    "lighthouse": "9ef757350d3729f0",
    "tree": "d135dee287580bdb",
    "flower": "42b1a5ed38e0b018",
    "mushroom": "db99aa646d85c481",
    "cat": "7ca857b074d4a3b0",
    "fish": "a04594e65e077909",
    "bird": "2e4571dfcf5d0814",
    "butterfly": "35e79aee38783294",
    "car": "c8b047f2fbf0b82e",
    "rocket": "f6c05fdf2c7b1834",
    "balloon": "d19d805e04a69713",
    "umbrella": "3bddc9745427e127",
    "teapot": "8e9319ab2685e15a",
}


def digest(pictures: Iterable[Image.Image]) -> str:
    sha = hashlib.sha256()
    for picture in pictures:
        sha.update(picture.tobytes())
    return sha.hexdigest()[:16]


@pytest.mark.parametrize("setting", SETTINGS)
def test_sky_and_setting(setting: str) -> None:
    drawn = []
    for seed, time in enumerate(TIMES):
        for flat in (False, True):
            stage = Stage((96, 64), time, flat, np.random.default_rng(seed), horizon=40.0, base=54.0)
            for layer in (*sky(stage), *BACKDROPS[setting](stage)):
                drawn += [layer.image, layer.mask]
    assert digest(drawn) == BACKDROP_DIGESTS[setting]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subject(subject: str) -> None:
    pen = Pen((64, 64), (32.0, 56.0), 44.0, 0.05, tones("red", "day"), outline=1.0, line=(1, 2, 3))
    KINDS[subject].draw(pen, np.random.default_rng(0))
    assert digest([pen.canvas, pen.mask]) == SUBJECT_DIGESTS[subject]
