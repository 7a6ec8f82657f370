"""The world: the same seed draws the same picture, every attribute shows, captions keep to the vocabulary."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.training.scenes import words
from engine.training.scenes.captions import caption, full_caption, vocabulary, words_of
from engine.training.scenes.labels import HEADS, labels, labels_of
from engine.training.scenes.render import render, render_with_mask
from engine.training.scenes.spec import (
    ATTRIBUTES,
    COLOURS,
    STYLES,
    SUBJECTS,
    Figure,
    Scene,
    Side,
    draw_scenes,
    unseen_pairs,
)
from engine.training.scenes.subjects import FLYING, KINDS

BOAT = Scene.of("sailboat", "red", "sea", "sunset", "watercolor")
PAIR = Scene((Figure("cat", "red"), Figure("house", "blue")), "meadow", "day", "clear", "flat")


@pytest.mark.parametrize("style", STYLES)
def test_equal_arguments_give_equal_bytes(style: str) -> None:
    scene = Scene.of("cat", "orange", "city", "night", style, "snow")
    assert np.array_equal(render(scene, 7), render(scene, 7))


def test_another_seed_gives_another_picture() -> None:
    assert not np.array_equal(render(BOAT, 1), render(BOAT, 2))


def test_another_colour_keeps_the_place() -> None:
    """So that nothing but the colour tells two pictures of a seed apart."""
    figures = [(Figure("cat", colour),) for colour in ("red", "blue")]
    masks = [render_with_mask(replace(PAIR, figures=some), 3)[1] for some in figures]
    assert np.array_equal(*masks)


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_every_value_of_an_attribute_looks_different(name: str) -> None:
    plain = {"subject": "cat", "colour": "red", "setting": "meadow", "time": "day", "style": "flat"}
    scenes = [Scene.of(**{**plain, name: value}) for value in ATTRIBUTES[name]]
    pictures = [render(scene, 3).astype(np.float32) for scene in scenes]
    for (a, first), (b, second) in itertools.combinations(zip(pictures, ATTRIBUTES[name], strict=True), 2):
        assert np.sqrt(np.mean((a - b) ** 2)) > 3, (first, second)


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (96, 160), (256, 256)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_size_renders(size: tuple[int, int], count: int) -> None:
    scene = Scene((Figure("fox", "red"),) * count, "beach", "dawn", "storm", "glass")
    assert render(scene, 0, *size).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_stay_apart_and_inside(subject: str) -> None:
    """Side by side, neither hides the other nor leaves the picture by more than a little."""
    mask = render_with_mask(replace(PAIR, figures=(Figure(subject, "red"),) * 2), 5)[1] > 127
    columns = mask.any(axis=0)
    assert columns[:60].any()
    assert columns[68:].any()
    assert mask[:, 0].mean() < 0.1
    assert mask[:, -1].mean() < 0.1
    alone = render_with_mask(Scene.of(subject, "red", "meadow", "day", "flat"), 5)[1] > 127
    assert 0.08 < alone.mean() < 0.6
    for edge in (alone[0], alone[:, 0], alone[:, -1]):
        assert edge.mean() < 0.1


def test_the_one_above_is_above() -> None:
    scene = Scene((Figure("bird", "red"), Figure("car", "blue")), "meadow", "day", "clear", "flat", "column")
    picture, mask = render_with_mask(scene, 2)
    inside = mask > 200
    red = inside & (picture[..., 0] > 150) & (picture[..., 2] < 110)
    blue = inside & (picture[..., 2] > 150) & (picture[..., 0] < 110)
    assert np.nonzero(red)[0].mean() < np.nonzero(blue)[0].mean() - 20


def test_world_is_as_large_as_promised() -> None:
    assert [len(set(values)) for values in ATTRIBUTES.values()] == [50, 10, 10, 4, 7, 10]
    assert set(KINDS) == set(SUBJECTS) == set(words.SUBJECT_WORDS)
    assert set(words.COLOUR_WORDS) == set(COLOURS)


def test_no_two_things_share_a_name() -> None:
    for table in (words.SUBJECT_WORDS, words.COLOUR_WORDS, words.WEATHER_WORDS, words.STYLE_TAGS):
        names = [set(synonyms) for synonyms in table.values()]
        assert all(not a & b for a, b in itertools.combinations(names, 2))


def test_split_hangs_on_names_alone() -> None:
    for side in Side:
        assert all(scene.side is side for scene in draw_scenes(200, 1, side, flying=FLYING))
    assert 0.02 < len(unseen_pairs()) / (len(SUBJECTS) * len(COLOURS)) < 0.1
    shown = {figure for scene in draw_scenes(3_000, 2, Side.TRAIN, flying=FLYING) for figure in scene.figures}
    assert not shown & set(unseen_pairs())
    # Every subject and every colour is still shown, in other company.
    assert {figure.subject for figure in shown} == set(SUBJECTS)


def test_draws_have_the_shares_that_are_asked_for() -> None:
    counts = [len(scene.figures) for scene in draw_scenes(300, 3, Side.TRAIN, shares=(0, 1, 0))]
    assert set(counts) == {2}
    assert draw_scenes(50, 4, Side.TRAIN) == draw_scenes(50, 4, Side.TRAIN)


def test_labels_name_what_is_there() -> None:
    named = {name: values[i] for (name, values), i in zip(HEADS.items(), labels(PAIR), strict=True)}
    assert named == {
        **{"subject_0": "cat", "colour_0": "red", "subject_1": "house", "colour_1": "blue"},
        **{"subject_2": "nothing", "colour_2": "nothing", "arrangement": "row"},
        **{"setting": "meadow", "time": "day", "weather": "clear", "style": "flat"},
    }
    assert labels_of([]).shape == (0, len(HEADS))


def test_captions_use_only_the_vocabulary() -> None:
    numbers = np.random.default_rng(0)
    known = set(vocabulary())
    for scene in draw_scenes(3_000, 0, Side.TRAIN, flying=FLYING):
        for text in (caption(scene, numbers), full_caption(scene, numbers)):
            assert set(words_of(text)) <= known, text


def test_full_captions_tell_everything() -> None:
    numbers = np.random.default_rng(2)
    for _ in range(50):
        text = full_caption(PAIR, numbers)
        for table, value in (
            (words.SUBJECT_WORDS, "cat"),
            (words.SUBJECT_WORDS, "house"),
            (words.COLOUR_WORDS, "red"),
            (words.COLOUR_WORDS, "blue"),
        ):
            assert any(word in text for word in table[value]), text


def test_where_figures_stand_is_said() -> None:
    numbers = np.random.default_rng(3)
    swapped = replace(PAIR, figures=PAIR.figures[::-1])
    for scene, left, right in ((PAIR, "cat", "house"), (swapped, "house", "cat")):
        said = [full_caption(scene, numbers) for _ in range(300)]
        assert any(f"{left} left of" in text for text in said)
        assert not any(f"{right} left of" in text for text in said)


def test_the_newcomers_prompt_is_in_the_vocabulary() -> None:
    assert set(words_of("a red sailboat on a calm sea at sunset, watercolor")) <= set(vocabulary())


def test_full_captions_vary() -> None:
    numbers = np.random.default_rng(1)
    assert len({full_caption(BOAT, numbers) for _ in range(100)}) > 60
