"""Natural words for a scene: full sentences, tag lists, short forms, with synonyms and omissions."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from engine.training.scenes.spec import Scene

EMPTY_SHARE = 0.07
FULL_SHARE = 0.5

SUBJECT_WORDS = {
    "sailboat": ("sailboat", "sailboat", "sailing boat", "boat", "yacht", "sailing ship"),
    "house": ("house", "house", "cottage", "hut", "home"),
    "castle": ("castle", "castle", "fortress", "palace"),
    "lighthouse": ("lighthouse",),
    "tree": ("tree", "tree", "oak tree"),
    "flower": ("flower", "flower", "blossom", "bloom"),
    "mushroom": ("mushroom", "mushroom", "toadstool"),
    "cat": ("cat", "cat", "kitten", "kitty"),
    "fish": ("fish",),
    "bird": ("bird", "bird", "songbird"),
    "butterfly": ("butterfly",),
    "car": ("car", "car", "automobile", "vintage car"),
    "rocket": ("rocket", "rocket", "rocket ship", "spaceship"),
    "balloon": ("hot air balloon", "hot-air balloon", "balloon"),
    "umbrella": ("umbrella", "umbrella", "parasol"),
    "teapot": ("teapot", "teapot", "kettle"),
}
COLOUR_WORDS = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "tangerine"),
    "yellow": ("yellow", "yellow", "lemon yellow"),
    "green": ("green", "green", "green", "emerald"),
    "blue": ("blue", "blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rosy"),
    "white": ("white", "white", "snow-white"),
    "black": ("black", "black", "jet black"),
    "brown": ("brown", "brown", "chestnut brown"),
}
SETTING_WORDS = {
    "sea": (
        "on a calm sea",
        "on the sea",
        "at sea",
        "by the sea",
        "on the ocean",
        "in the ocean",
        "at the seaside",
    ),
    "meadow": ("in a meadow", "on a meadow", "in a green field", "in the grass", "among wildflowers"),
    "desert": ("in the desert", "in a desert", "in a sandy desert", "among sand dunes", "in the dunes"),
    "mountains": (
        "in the mountains",
        "in front of mountains",
        "in front of snowy mountains",
        "in the snow",
        "among snowy peaks",
        "in the alps",
    ),
    "forest": ("in a forest", "in the forest", "in the woods", "among fir trees", "in a pine forest"),
    "city": (
        "in the city",
        "in a city",
        "in front of skyscrapers",
        "on a city street",
        "in town",
        "downtown",
    ),
}
SETTING_TAGS = {
    "sea": ("sea", "ocean", "calm sea", "seaside"),
    "meadow": ("meadow", "green field", "grass"),
    "desert": ("desert", "sand dunes", "dunes"),
    "mountains": ("mountains", "snowy mountains", "alps"),
    "forest": ("forest", "woods", "pine forest"),
    "city": ("city", "skyline", "city street"),
}
TIME_WORDS = {
    "dawn": ("at dawn", "at dawn", "at sunrise", "in the early morning", "in the morning mist"),
    "day": ("by day", "at noon", "in daylight", "on a sunny day", "in the sunshine", "at midday"),
    "sunset": (
        "at sunset",
        "at sunset",
        "at dusk",
        "in the evening",
        "at golden hour",
        "under an evening sky",
    ),
    "night": (
        "at night",
        "at night",
        "under the stars",
        "in the moonlight",
        "under a starry sky",
        "at midnight",
    ),
}
TIME_TAGS = {
    "dawn": ("dawn", "sunrise", "early morning"),
    "day": ("day", "daylight", "sunny", "noon"),
    "sunset": ("sunset", "dusk", "golden hour", "evening"),
    "night": ("night", "starry night", "moonlight"),
}
STYLE_TAGS = {
    "watercolor": ("watercolor", "watercolor", "watercolour", "watercolor painting", "aquarelle"),
    "oil": ("oil painting", "oil painting", "oil on canvas", "impasto", "oil"),
    "pixel": ("pixel art", "pixel art", "pixelated", "8-bit", "retro game art"),
    "comic": ("comic", "comic book style", "cartoon", "pop art", "comic style"),
    "paper": ("paper cutout", "paper cut-out", "papercut", "cut paper", "paper collage", "paper art"),
}
STYLE_OPENINGS = {
    "watercolor": ("a watercolor of", "a watercolor painting of", "a watercolour of", "an aquarelle of"),
    "oil": ("an oil painting of", "oil painting of", "an impasto painting of"),
    "pixel": ("pixel art of", "a pixel art picture of", "8-bit pixel art of"),
    "comic": ("a comic of", "a cartoon of", "a comic book drawing of", "pop art of"),
    "paper": ("a paper cutout of", "a papercut of", "a paper collage of", "cut paper art of"),
}
STYLE_ENDINGS = {
    "watercolor": ("in watercolor", "painted in watercolors", "in watercolor style"),
    "oil": ("in oil", "painted in oil", "as an oil painting"),
    "pixel": ("in pixel art style", "as pixel art", "in 8-bit"),
    "comic": ("in comic style", "as a cartoon", "in comic book style"),
    "paper": ("made of paper", "cut from paper", "as a paper cutout"),
}
SIZES = (
    "small",
    "little",
    "big",
    "large",
    "tiny",
    "lone",
    "pretty",
    "beautiful",
    "lovely",
    "cute",
    "old",
    "single",
)
OPENINGS = (
    "a picture of",
    "an image of",
    "a drawing of",
    "a painting of",
    "an illustration of",
    "picture of",
    "a scene with",
)
PRAISE = (
    "beautiful",
    "masterpiece",
    "high quality",
    "highly detailed",
    "detailed",
    "colorful",
    "colourful",
    "lovely",
    "soft light",
)
MISC_WORDS = ("a", "an", "the", "and", "with", "of", "there", "is")


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """All five attributes, in words that vary."""
    return _caption(scene, rng, {"colour", "setting", "time", "style"})


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """What training shows: sometimes nothing, half the time everything, else some of it."""
    draw = rng.random()
    if draw < EMPTY_SHARE:
        return ""
    if draw < EMPTY_SHARE + FULL_SHARE:
        return full_caption(scene, rng)
    keep = {
        name
        for name, p in (("colour", 0.75), ("setting", 0.6), ("time", 0.6), ("style", 0.6))
        if rng.random() < p
    }
    return _caption(scene, rng, keep)


def _caption(scene: Scene, rng: np.random.Generator, keep: set[str]) -> str:
    noun = _pick(rng, SUBJECT_WORDS[scene.subject])
    if "colour" in keep:
        noun = f"{_pick(rng, COLOUR_WORDS[scene.colour])} {noun}"
    form = rng.random()
    if form < 0.25:
        return _tags(scene, rng, keep, noun)
    if rng.random() < 0.15:
        noun = f"{_pick(rng, SIZES)} {noun}"
    article = "an" if noun[0] in "aeiou" else "a"
    thing = f"{article} {noun}" if rng.random() < 0.85 else noun if rng.random() < 0.5 else f"the {noun}"
    places = []
    if "setting" in keep:
        places.append(_pick(rng, SETTING_WORDS[scene.setting]))
    if "time" in keep:
        places.append(_pick(rng, TIME_WORDS[scene.time]))
    if len(places) == 2 and rng.random() < 0.25:
        places.reverse()
    body = " ".join([thing, *places])
    if places and rng.random() < 0.06:
        body = f"{places[-1]}, {' '.join([thing, *places[:-1]])}"
    if "style" not in keep:
        if rng.random() < 0.25:
            body = f"{_pick(rng, OPENINGS)} {body}"
        return body
    if form < 0.65:
        body = f"{body}, {_pick(rng, STYLE_TAGS[scene.style])}"
        if rng.random() < 0.1:
            body = f"{body}, {_pick(rng, PRAISE)}"
        return body
    if form < 0.85:
        return f"{_pick(rng, STYLE_OPENINGS[scene.style])} {body}"
    return f"{body} {_pick(rng, STYLE_ENDINGS[scene.style])}"


def _tags(scene: Scene, rng: np.random.Generator, keep: set[str], noun: str) -> str:
    """A list as prompts often are: "red sailboat, sea, sunset, watercolor"."""
    tags = []
    for name, words, value in (
        ("setting", SETTING_TAGS, scene.setting),
        ("time", TIME_TAGS, scene.time),
        ("style", STYLE_TAGS, scene.style),
    ):
        if name in keep:
            tags.append(_pick(rng, words[value]))
    if rng.random() < 0.3:
        tags = [tags[i] for i in rng.permutation(len(tags))]
    if rng.random() < 0.15:
        tags.append(_pick(rng, PRAISE))
    # The subject leads nearly always, as it does in what people type.
    parts = [noun, *tags] if rng.random() < 0.85 else [*tags, noun]
    return ", ".join(parts)


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """Every lower-case word a caption can contain, sorted; hyphenated words also in their parts."""
    phrases: list[str] = [*SIZES, *OPENINGS, *PRAISE, *MISC_WORDS]
    tables = (
        SUBJECT_WORDS,
        COLOUR_WORDS,
        SETTING_WORDS,
        SETTING_TAGS,
        TIME_WORDS,
        TIME_TAGS,
        STYLE_TAGS,
        STYLE_OPENINGS,
        STYLE_ENDINGS,
    )
    for table in tables:
        for words in table.values():
            phrases.extend(words)
    found: set[str] = set()
    for phrase in phrases:
        for word in words_of(phrase):
            found.update((word, *word.split("-")))
    return tuple(sorted(found))


def words_of(text: str) -> list[str]:
    """Lower-case words; a hyphen inside a word belongs to it."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text.lower())
