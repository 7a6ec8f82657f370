"""Natural words for a scene: full sentences, tag lists, short forms, with synonyms and omissions."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from engine.training.scenes import words
from engine.training.scenes.spec import Figure, Scene

EMPTY_SHARE = 0.07
FULL_SHARE = 0.5
PLACE_WORDS = {
    "setting": (words.SETTING_WORDS, words.SETTING_TAGS),
    "time": (words.TIME_WORDS, words.TIME_TAGS),
    "weather": (words.WEATHER_WORDS, words.WEATHER_TAGS),
}


def full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Every attribute, in words that vary."""
    return _caption(scene, rng, {"colour", "setting", "time", "weather", "style"})


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """What training shows: sometimes nothing, half the time everything, else some of it."""
    draw = rng.random()
    if draw < EMPTY_SHARE:
        return ""
    # A clear sky often goes without saying, and any other weather seldom: where nothing is said, it is clear.
    said = 0.9 if scene.weather != "clear" else 0.35
    keep = {"weather"} if rng.random() < said else set()
    if draw < EMPTY_SHARE + FULL_SHARE:
        return _caption(scene, rng, {"colour", "setting", "time", "style", *keep})
    for name, share in (("colour", 0.8), ("setting", 0.6), ("time", 0.6), ("style", 0.6)):
        if rng.random() < share:
            keep.add(name)
    return _caption(scene, rng, keep)


def _caption(scene: Scene, rng: np.random.Generator, keep: set[str]) -> str:
    form = rng.random()
    nouns = [_noun(figure, rng, coloured="colour" in keep) for figure in scene.figures]
    if form < 0.25:
        return _tags(scene, rng, keep, nouns)
    body = _together(scene, rng, nouns, coloured="colour" in keep)
    places = [_pick(rng, of[getattr(scene, name)]) for name, (of, _) in PLACE_WORDS.items() if name in keep]
    if len(places) > 1 and rng.random() < 0.3:
        places = [places[i] for i in rng.permutation(len(places))]
    opened = "style" in keep and 0.65 <= form < 0.85
    if places and not opened and rng.random() < 0.06:
        body = f"{places[-1]}, {' '.join([body, *places[:-1]])}"
    else:
        body = " ".join([body, *places])
    if "style" not in keep:
        return f"{_pick(rng, words.OPENINGS)} {body}" if rng.random() < 0.25 else body
    if form < 0.65:
        body = f"{body}, {_pick(rng, words.STYLE_TAGS[scene.style])}"
        return f"{body}, {_pick(rng, words.PRAISE)}" if rng.random() < 0.1 else body
    if opened:
        return f"{_pick(rng, words.STYLE_OPENINGS[scene.style])} {body}"
    return f"{body} {_pick(rng, words.STYLE_ENDINGS[scene.style])}"


def _noun(figure: Figure, rng: np.random.Generator, *, coloured: bool) -> str:
    noun = _pick(rng, words.SUBJECT_WORDS[figure.subject])
    return f"{_pick(rng, words.COLOUR_WORDS[figure.colour])} {noun}" if coloured else noun


def _together(scene: Scene, rng: np.random.Generator, nouns: list[str], *, coloured: bool) -> str:
    """The figures and how they stand."""
    if alike := _alike(scene, rng, coloured=coloured):
        return alike
    things = []
    for noun in nouns:
        sized = f"{_pick(rng, words.SIZES)} {noun}" if rng.random() < 0.12 / len(nouns) else noun
        article = "an" if sized[0] in "aeiou" else "a"
        draw = rng.random()
        things.append(f"{article} {sized}" if draw < 0.85 else f"the {sized}" if draw < 0.93 else sized)
    if len(things) == 1:
        return things[0]
    ways = words.COLUMN_OF_TWO if scene.arrangement == "column" else words.ROW_OF_TWO
    return _pick(rng, ways if len(things) == 2 else words.ROW_OF_THREE).format(*things)


def _alike(scene: Scene, rng: np.random.Generator, *, coloured: bool) -> str:
    """ "two red cats", where all figures are the same; else nothing."""
    first, count = scene.figures[0], len(scene.figures)
    if count == 1 or set(scene.figures) != {first}:
        return ""
    colour = f"{_pick(rng, words.COLOUR_WORDS[first.colour])} " if coloured else ""
    return f"{words.NUMBERS[count]} {colour}{words.PLURALS[first.subject]}"


def _tags(scene: Scene, rng: np.random.Generator, keep: set[str], nouns: list[str]) -> str:
    """A list as prompts often are: "red sailboat, sea, sunset, watercolor"."""
    tags = [_pick(rng, of[getattr(scene, name)]) for name, (_, of) in PLACE_WORDS.items() if name in keep]
    if "style" in keep:
        tags.append(_pick(rng, words.STYLE_TAGS[scene.style]))
    if rng.random() < 0.3:
        tags = [tags[i] for i in rng.permutation(len(tags))]
    if rng.random() < 0.15:
        tags.append(_pick(rng, words.PRAISE))
    if scene.arrangement == "column":
        nouns = [_pick(rng, words.COLUMN_OF_TWO).format(*nouns)]
    elif alike := _alike(scene, rng, coloured="colour" in keep):
        nouns = [alike]
    # The subjects lead nearly always, as they do in what people type.
    return ", ".join([*nouns, *tags] if rng.random() < 0.85 else [*tags, *nouns])


def _pick(rng: np.random.Generator, of: tuple[str, ...]) -> str:
    return of[int(rng.integers(len(of)))]


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """Every lower-case word a caption can contain, sorted; hyphenated words also in their parts."""
    phrases: list[str] = [*words.SIZES, *words.OPENINGS, *words.PRAISE, *words.MISC]
    phrases += [*words.NUMBERS.values(), *words.PLURALS.values()]
    phrases += [way.format(*"aaa") for way in (*words.ROW_OF_TWO, *words.COLUMN_OF_TWO, *words.ROW_OF_THREE)]
    for table in (
        *(
            words.SUBJECT_WORDS,
            words.COLOUR_WORDS,
            words.STYLE_TAGS,
            words.STYLE_OPENINGS,
            words.STYLE_ENDINGS,
        ),
        *(table for pair in PLACE_WORDS.values() for table in pair),
    ):
        for synonyms in table.values():
            phrases.extend(synonyms)
    found: set[str] = set()
    for phrase in phrases:
        for word in words_of(phrase):
            found.update((word, *word.split("-")))
    return tuple(sorted(found))


def words_of(text: str) -> list[str]:
    """Lower-case words; a hyphen inside a word belongs to it."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text.lower())
