"""CLIP: embeddings are transformers' own, descriptions rank what lies near a picture, and both share steps."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine import (
    DescribeRequest,
    EmbeddingReady,
    EmbedRequest,
    EngineConfig,
    FinishReason,
    ModelUnavailable,
    RequestOutput,
    RequestRejected,
    TextReady,
    Update,
)
from engine.catalog import Operation, configured_models, read_model
from engine.launch import launch_engine
from engine.worker.loader import load_components
from engine.worker.models.clip import Clip
from engine.worker.phrases import LEAST_GAIN, PhraseGroup, read_groups, sentence
from tests.engine.tiny_clip import PHRASES, write_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wide") / "wide.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 90, 3), dtype=np.uint8)).save(path)
    return path


def config_of(clip: Path, **changes: Any) -> EngineConfig:
    values = {"models": (str(clip),), "clip": str(clip), "device": "cpu", "dtype": "float64"}
    return EngineConfig(**values | changes)


async def run(config: EngineConfig, *requests: Any) -> dict[str, tuple[list[Update], RequestOutput]]:
    async def one(engine: Any, request: Any) -> tuple[list[Update], RequestOutput]:
        items = [item async for item in engine.submit(request)]
        assert isinstance(items[-1], RequestOutput)
        return [item for item in items[:-1] if isinstance(item, EmbeddingReady | TextReady)], items[-1]

    async with launch_engine(config) as engine:
        found = await asyncio.gather(*(one(engine, request) for request in requests))
    return {request.request_id: result for request, result in zip(requests, found, strict=True)}


def by_hand(folder: Path, pictures: list[Path], texts: list[str]) -> list[torch.Tensor]:
    model = CLIPModel.from_pretrained(folder).double().eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    found = []
    with torch.inference_mode():
        for path in pictures:
            pixels = processor(
                images=Image.open(path).convert("RGB"), return_tensors="pt"
            ).pixel_values.double()
            found.append(model.visual_projection(model.vision_model(pixels).pooler_output))
        for text in texts:
            ids = tokenizer(text, padding="max_length", truncation=True, return_tensors="pt")
            read = model.text_model(ids.input_ids, attention_mask=ids.attention_mask)
            found.append(model.text_projection(read.pooler_output))
    return [functional.normalize(each, dim=1)[0] for each in found]


async def test_embeddings_are_those_of_transformers(
    clip: Path, files: Mapping[str, Path], wide: Path
) -> None:
    pictures, texts = [files["init_image"], wide], ["a red cat", "", "the " * 40]
    one = EmbedRequest(request_id="one", model=str(clip), images=tuple(pictures), texts=tuple(texts))
    two = EmbedRequest(request_id="two", model=str(clip), texts=("a dog",))
    found = await run(config_of(clip), one, two)
    ready, output = found["one"]
    assert output.finish_reason is FinishReason.COMPLETED
    vectors = {each.index: each.vector for each in ready if isinstance(each, EmbeddingReady)}
    for index, expected in enumerate(by_hand(clip, pictures, texts)):
        assert vectors[index].dtype == np.float32
        np.testing.assert_allclose(vectors[index], expected.numpy(), atol=1e-6)
        assert abs(float(np.linalg.norm(vectors[index])) - 1) < 1e-6
    [(other, _)] = [found["two"]]
    assert isinstance(other[0], EmbeddingReady)
    np.testing.assert_allclose(other[0].vector, by_hand(clip, [], ["a dog"])[0].numpy(), atol=1e-6)


def best_chain(folder: Path, picture: Path, groups: Sequence[PhraseGroup]) -> str:
    """What a description without chance would be."""
    [seen] = by_hand(folder, [picture], [])
    chosen: dict[int, str] = {}
    likeness = -2.0
    for number, group in enumerate(groups):
        texts = [sentence(groups, {**chosen, number: phrase}) for phrase in group.phrases]
        values = [float(each @ seen) for each in by_hand(folder, [], texts)]
        if max(values) > likeness + LEAST_GAIN:
            likeness = max(values)
            chosen[number] = group.phrases[values.index(likeness)]
    return sentence(groups, chosen)


def test_alone_the_towers_are_those_of_transformers_to_the_last_bit(clip: Path, wide: Path) -> None:
    loaded = load_components(
        str(clip), config_of(clip), torch.device("cpu"), torch.float64, lambda loading: None
    )
    embed: Any = Clip(loaded, exact=True).stages[0]
    picture = np.asarray(Image.open(wide))
    with torch.inference_mode():
        seen = embed._towers.see([embed._towers.pixels(picture)] * 2)
        read = embed._towers.read(["a red cat", "a dog"])
    expected = by_hand(clip, [wide, wide], ["a red cat", "a dog"])
    assert seen.dtype == torch.float64
    assert torch.equal(torch.cat([seen, read]), torch.stack(expected))


async def test_exact_embeddings_do_not_hang_on_company(
    clip: Path, files: Mapping[str, Path], wide: Path
) -> None:
    config = config_of(clip, dtype="float32", exact=True)
    one = EmbedRequest(request_id="one", model=str(clip), images=(wide,), texts=("a red cat",))
    two = EmbedRequest(
        request_id="two", model=str(clip), images=(files["init_image"],) * 3, texts=("a", "the dog")
    )
    together, alone = await run(config, one, two), await run(config, one)
    vectors = [
        {each.index: each.vector for each in found["one"][0] if isinstance(each, EmbeddingReady)}
        for found in (together, alone)
    ]
    for index in (0, 1):
        assert np.array_equal(vectors[0][index], vectors[1][index])


async def test_descriptions_follow_their_seeds(clip: Path, files: Mapping[str, Path], wide: Path) -> None:
    """The same seed says the same, alone and in company; many seeds say several things."""
    seeds = tuple(range(16))
    one = DescribeRequest(request_id="one", model=str(clip), image=files["init_image"], seeds=seeds)
    two = DescribeRequest(request_id="two", model=str(clip), image=wide, seeds=(3,))
    together = await run(config_of(clip), one, two)
    alone = await run(config_of(clip), one)
    said = [each.text for each in together["one"][0] if isinstance(each, TextReady)]
    again = [each.text for each in alone["one"][0] if isinstance(each, TextReady)]
    assert sorted(said) == sorted(again)
    assert len(set(said)) > 1
    starts = tuple(phrase for group in PHRASES["groups"] for phrase in group["phrases"])
    assert all(text.startswith(starts) for text in said)


async def test_without_chance_the_best_chain_is_said(
    clip: Path, files: Mapping[str, Path], wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.models.clip._TEMPERATURE", 1e-12)
    pictures = (files["init_image"], wide)
    requests = [
        DescribeRequest(request_id=path.name, model=str(clip), image=path, seeds=(1, 2)) for path in pictures
    ]
    found = await run(config_of(clip), *requests)
    for path in pictures:
        expected = best_chain(clip, path, read_groups(PHRASES))
        assert [each.text for each in found[path.name][0] if isinstance(each, TextReady)] == [expected] * 2


async def test_what_brings_too_little_is_not_said(tmp_path: Path, wide: Path) -> None:
    """No cosine can rise by more than two; the step of such a group passes without a word."""
    [first, second, third] = ({"gain": 0} | group for group in PHRASES["groups"])
    clip = write_tiny_clip(tmp_path / "clip", {"groups": [first, second | {"gain": 3}, third | {"gain": 3}]})
    request = DescribeRequest(request_id="one", model=str(clip), image=wide, seeds=(1, 2, 3))
    ready, _ = (await run(config_of(clip), request))["one"]
    assert len(ready) == 3
    assert {each.text for each in ready if isinstance(each, TextReady)} <= set(first["phrases"])


async def test_the_usual_phrases(tmp_path: Path, wide: Path) -> None:
    """A checkpoint without phrases of its own has ours."""
    clip = write_tiny_clip(tmp_path / "clip", phrases=None)
    request = DescribeRequest(request_id="one", model=str(clip), image=wide, seeds=(1, 2))
    ready, output = (await run(config_of(clip), request))["one"]
    assert output.finish_reason is FinishReason.COMPLETED
    assert all(isinstance(each, TextReady) and each.text for each in ready)


async def test_an_unreadable_picture_fails_its_request_alone(
    clip: Path, files: Mapping[str, Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture")
    bad = DescribeRequest(request_id="bad", model=str(clip), image=damaged, seeds=(1,))
    good = DescribeRequest(request_id="good", model=str(clip), image=files["init_image"], seeds=(1,))
    found = await run(config_of(clip), bad, good)
    assert found["bad"][1].error is not None
    assert found["bad"][1].error.code == "picture_unreadable"
    assert found["good"][1].finish_reason is FinishReason.COMPLETED


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"seeds": ()}, "pictures_out_of_range"), ({"seeds": (-1,)}, "seed_out_of_range")],
)
async def test_descriptions_are_refused_at_the_door(
    clip: Path, wide: Path, changes: dict[str, Any], code: str
) -> None:
    async with launch_engine(config_of(clip)) as engine:
        with pytest.raises(RequestRejected) as refused:
            engine.submit(
                DescribeRequest(request_id="one", model=str(clip), image=wide, **{"seeds": (1,), **changes})
            )
        assert refused.value.code == code
        with pytest.raises(RequestRejected) as refused:
            engine.submit(EmbedRequest(request_id="two", model=str(clip)))
        assert refused.value.code == "pictures_out_of_range"
        with pytest.raises(RequestRejected) as refused:
            engine.submit(EmbedRequest(request_id="three", model=str(clip), texts=("\ud800",)))
        assert refused.value.code == "prompt_not_text"


def test_the_catalogue(clip: Path, tmp_path: Path) -> None:
    info = read_model(str(clip), config_of(clip))
    assert (info.family, info.native_width) == ("clip", 32)
    assert info.operations == (Operation.EMBED, Operation.DESCRIBE)
    assert info.memory_bytes > 0
    # The embedded network that enlarges is there besides.
    assert [model.family for model in configured_models(config_of(clip))] == ["clip", "super-resolution"]
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": {}}))
    (bare / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(ModelUnavailable) as refused:
        read_model(str(bare), config_of(bare))
    assert refused.value.code == "model_without_safetensors"


def test_a_model_that_compares_nothing_is_refused(tiny_model: Path) -> None:
    config = EngineConfig(models=(), clip=str(tiny_model), device="cpu")
    with pytest.raises(ModelUnavailable) as refused:
        configured_models(config)
    assert refused.value.code == "clip_unfit"


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        ["a"],
        [{"phrases": []}],
        [{"phrases": [3]}],
        [{"phrases": "abc"}],
        [{"phrases": ["a"], "place": "first"}],
        [{"phrases": ["a"], "gain": "much"}],
        [{"phrases": ["a"], "gain": math.nan}],
    ],
)
def test_damaged_phrases_are_refused(groups: Any) -> None:
    with pytest.raises(ValueError, match=r"phrases|place|gain"):
        read_groups({"groups": groups})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["groups", "phrases", "place", "lead", "gain"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_json_holds_is_phrases_or_refused(content: Any) -> None:
    try:
        groups = read_groups(content)
    except ValueError:
        return
    assert all(group.phrases and group.gain >= LEAST_GAIN for group in groups)


def with_phrases(folder: Path) -> None:
    (folder / "phrases.json").write_text("[]", encoding="utf-8")


def with_too_few_tokens(folder: Path) -> None:
    weights, table = folder / "model.safetensors", "text_model.embeddings.token_embedding.weight"
    tensors = load_file(weights)
    save_file(tensors | {table: tensors[table][:20].clone()}, weights, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 20
    (folder / "config.json").write_text(json.dumps(config))


def with_larger_pictures(folder: Path) -> None:
    file = folder / "preprocessor_config.json"
    larger = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    file.write_text(json.dumps(json.loads(file.read_text()) | larger))


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (with_phrases, "phrases.json holds no phrases to describe pictures with: no groups of phrases"),
        (with_too_few_tokens, "its text tower is made for 20"),
        (with_larger_pictures, "its image processor writes 64 × 64 pixels"),
    ],
)
def test_what_does_not_belong_together_is_refused_while_it_loads(
    tmp_path: Path, exchange: Callable[[Path], None], said: str
) -> None:
    clip = write_tiny_clip(tmp_path / "clip")
    exchange(clip)
    with pytest.raises(ModelUnavailable, match=said) as refused:
        load_components(str(clip), config_of(clip), torch.device("cpu"), torch.float32, lambda loading: None)
    assert refused.value.code == "model_unreadable"


def test_a_sentence_has_its_own_order() -> None:
    groups = read_groups(PHRASES)
    assert sentence(groups, {}) == ""
    assert sentence(groups, {0: "ink"}) == "ink"
    assert sentence(groups, {0: "ink", 2: "at noon"}) == "at noon, ink"
    assert sentence(groups, {0: "ink", 2: "at noon", 1: "a hen"}) == "a hen at noon, ink"
