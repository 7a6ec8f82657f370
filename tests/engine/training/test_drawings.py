"""What is drawn stays what the shipped model learnt from, byte by byte: a moved line would be another world.

Only drawings on whole pixels are pinned; the media's floating-point finish may round otherwise on another processor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pytest
from PIL import Image

from engine.training.scenes import weather
from engine.training.scenes.backdrop import BACKDROPS
from engine.training.scenes.palette import tones
from engine.training.scenes.pen import Pen
from engine.training.scenes.sky import sky
from engine.training.scenes.spec import SETTINGS, SUBJECTS, TIMES, WEATHERS
from engine.training.scenes.stage import Stage
from engine.training.scenes.subjects import KINDS

BACKDROP_DIGESTS = {
    "sea": "3c0f37cf0168c84d",
    "meadow": "8280eb578425da1c",
    "desert": "7910afcac85ddd8d",
    "mountains": "a93316bd3de78f7e",
    "forest": "2122553b919c5735",
    "city": "709f3927fbe2874f",
    "beach": "145e960a8ea13e53",
    "village": "64f819cf1b6b1f80",
    "volcano": "d51e1313d4ec7b35",
    "farm": "6c9970b04fdc08d4",
}
WEATHER_DIGESTS = {
    "clear": "d70e05fe5dd6a6c1",
    "cloudy": "0da0fbccc34d7ac3",
    "rain": "2b740f74ff3406c9",
    "snow": "afae2007defa46d3",
    "fog": "885d661a5e8e57ed",
    "storm": "cb3d8edfdaffc82b",
    "rainbow": "644821d1dc78b8e2",
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
    "dog": "5a199ae26744cb39",
    "rabbit": "93aba58d4a8be754",
    "fox": "2c91eca5ecc0ca74",
    "bear": "787ee9ca67fe8850",
    "horse": "a007780e8a5a30b0",
    "elephant": "675296726a32a754",
    "dragon": "fc340eb4b9be55b3",
    "owl": "c494b035bcaff6c9",
    "penguin": "97723fb652b9c7b1",
    "duck": "4e6f66e46a675013",
    "turtle": "25c309711d0f2087",
    "snail": "d1386b05170a3d28",
    "whale": "8fab9abdcfb20ccb",
    "frog": "b706872e39e755a7",
    "octopus": "a12a75be90bb14a9",
    "crab": "ca95d1a6a9f5601a",
    "ladybug": "f0231f2fe23455dc",
    "cactus": "e875dda9a98d084e",
    "pumpkin": "aa3ced69e57c064a",
    "apple": "19363245221b8456",
    "windmill": "84e837f0353e769c",
    "tent": "e30894d22dce26da",
    "train": "e15dc4e0492f9b7c",
    "bus": "62219eeb02fa1b1d",
    "airplane": "3859acd962d8bf93",
    "robot": "165cb5546b621a13",
    "guitar": "39f49ad3b237da81",
    "clock": "70edcdc814df9399",
    "chair": "8bb97bf696709c81",
    "cup": "d2f608add7372b89",
    "crown": "ab5833a252810e61",
    "bell": "57b5135a9571f785",
    "kite": "c0818e40c338875e",
    "gift": "db8bd34c3c182a8c",
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


@pytest.mark.parametrize("name", WEATHERS)
def test_weather(name: str) -> None:
    drawn = []
    for seed, time in enumerate(TIMES):
        stage = Stage((96, 64), time, True, np.random.default_rng(seed), 40.0, 54.0, name)
        for layer in (*sky(stage), *weather.behind(stage), *weather.in_front(stage)):
            drawn += [layer.image, layer.mask]
    assert digest(drawn) == WEATHER_DIGESTS[name]
