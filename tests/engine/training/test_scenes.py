"""The world: the same seed draws the same picture, every attribute shows, captions keep to the vocabulary."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.training.scenes.captions import caption, full_caption, vocabulary, words_of
from engine.training.scenes.render import render
from engine.training.scenes.spec import ATTRIBUTES, Scene, draw_scenes, every_scene, split

BOAT = Scene("sailboat", "red", "sea", "sunset", "watercolor")


def test_equal_arguments_give_equal_bytes():
    for style in ATTRIBUTES["style"]:
        scene = Scene("cat", "orange", "city", "night", style)
        assert np.array_equal(render(scene, 7), render(scene, 7))


def test_another_seed_gives_another_picture():
    assert not np.array_equal(render(BOAT, 1), render(BOAT, 2))


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_every_value_of_an_attribute_looks_different(name):
    values = {field: getattr(BOAT, field) for field in ATTRIBUTES}
    pictures = [render(Scene(**{**values, name: value}), 3).astype(np.float32) for value in ATTRIBUTES[name]]
    for a, b in itertools.combinations(pictures, 2):
        assert np.sqrt(np.mean((a - b) ** 2)) > 4


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (96, 160), (256, 256)])
def test_any_size_renders(size):
    assert render(BOAT, 0, *size).shape == (size[1], size[0], 3)


def test_world_is_at_least_as_large_as_promised():
    assert [len(values) for values in ATTRIBUTES.values()] == [16, 10, 6, 4, 5]


def test_split_covers_everything_once():
    seen, held_out = set(split(held_out=False)), set(split(held_out=True))
    assert not seen & held_out
    assert seen | held_out == set(every_scene())
    assert 0.08 < len(held_out) / len(seen | held_out) < 0.12


def test_drawn_scenes_stay_on_their_side():
    assert all(scene.held_out for scene in draw_scenes(300, 1, held_out=True))
    assert not any(scene.held_out for scene in draw_scenes(300, 1, held_out=False))


def test_captions_use_only_the_vocabulary():
    numbers = np.random.default_rng(0)
    known = set(vocabulary())
    for scene in draw_scenes(3_000, 0, held_out=False):
        for text in (caption(scene, numbers), full_caption(scene, numbers)):
            assert set(words_of(text)) <= known, text


def test_the_newcomers_prompt_is_in_the_vocabulary():
    assert set(words_of("a red sailboat on a calm sea at sunset, watercolor")) <= set(vocabulary())


def test_full_captions_vary():
    numbers = np.random.default_rng(1)
    assert len({full_caption(BOAT, numbers) for _ in range(100)}) > 60
