"""How long steps and loads take, and what is guessed of those that were not timed."""

from __future__ import annotations

import pytest

from engine.batch import Size
from engine.paces import Paces

SMALL, LARGE = Size("owner/model", "denoise", 512, 512), Size("owner/model", "denoise", 1024, 1024)


def timed(*steps: tuple[Size, float]) -> Paces:
    """Steps of two rows and of eight: a tenth of a second, and so much for every row."""
    paces = Paces()
    for size, per_row in steps:
        for _ in range(20):
            for rows in (2, 8):
                paces.observe(size, rows, 0.1 + per_row * rows)
    return paces


def test_every_model_and_size_has_its_own() -> None:
    paces = timed((SMALL, 0.05), (LARGE, 0.3), (Size("owner/other", "denoise", 512, 512), 0.01))
    assert paces.seconds(SMALL, 4) == pytest.approx(0.3)
    assert paces.seconds(LARGE, 4) == pytest.approx(1.3)
    assert paces.seconds(Size("owner/other", "denoise", 512, 512), 16) == pytest.approx(0.26)


def test_what_was_not_timed_is_scaled_by_its_area_from_the_nearest_of_its_model() -> None:
    paces = timed((SMALL, 0.05), (LARGE, 0.3), (Size("owner/other", "denoise", 768, 768), 0.01))
    assert paces.seconds(Size("owner/model", "denoise", 1024, 768), 4) == pytest.approx(1.3 * 0.75)
    assert paces.seconds(Size("owner/model", "denoise", 256, 256), 4) == pytest.approx(0.3 / 4)


def test_a_model_that_was_not_timed_is_held_to_be_like_the_others() -> None:
    paces = timed((SMALL, 0.05), (LARGE, 0.3))
    assert paces.seconds(Size("owner/new", "denoise", 1024, 2048), 4) == pytest.approx(2 * 1.3)
    assert paces.seconds(Size("owner/mixes-sizes", "denoise", 0, 0), 4) in (
        pytest.approx(0.3),
        pytest.approx(1.3),
    )


def test_nothing_is_known_before_steps_that_are_not_warming_up() -> None:
    paces = Paces()
    for _ in range(2):
        assert not paces.known
        assert paces.seconds(SMALL, 4) == 0
        paces.observe(SMALL, 4, 60.0)
    paces.observe(SMALL, 4, 0.2)
    assert paces.known
    assert paces.seconds(SMALL, 4) == pytest.approx(0.2)
    assert paces.seconds(SMALL, 8) == pytest.approx(0.4), "of steps of one width, each row is given its part"


def test_rows_that_cost_nothing_make_no_step_longer() -> None:
    assert timed((SMALL, 0.0)).seconds(SMALL, 64) == pytest.approx(0.1)


def test_a_load_takes_what_the_last_one_took() -> None:
    paces = Paces()
    assert paces.load_left("owner/model", 0.0) is None
    paces.load_begins("owner/model", 10.0)
    paces.load_ends("owner/model", 40.0, well=True)
    assert paces.load_left("owner/model", 100.0) == 30, "it waits for room"
    paces.load_begins("owner/model", 100.0)
    assert paces.load_left("owner/model", 120.0) == 10
    assert paces.load_left("owner/model", 140.0) == 0
    paces.load_ends("owner/model", 141.0, well=False)
    assert paces.load_left("owner/model", 200.0) == 30


def test_stages_are_timed_apart() -> None:
    """Of a model with two, the one that was not timed is not held to be the other, scaled to its size."""
    prior = Size("owner/model", "prior", 0, 0)
    paces = timed((prior, 0.01), (SMALL, 0.05))
    assert paces.seconds(prior, 16) == pytest.approx(0.26)
    assert paces.seconds(LARGE, 16) == pytest.approx(4 * paces.seconds(SMALL, 16))
