"""Textual inversion: as diffusers' load_textual_inversion, known to its own request alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine import GenerateRequest, RequestRejected
from engine.validation import validate
from engine.worker.prompts.embeddings import Embedding, split
from tests.engine.bench import (
    Bench,
    Result,
    diffusers_says,
    fresh_pipeline,
    largest_difference,
    make_request,
    run_pipeline,
)
from tests.engine.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("wide"), window=77)


@pytest.fixture(scope="module")
def bench(model: Path) -> Bench:
    return Bench(model)


def vectors(tokens: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((tokens, width), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embeddings")
    contents = {
        "single": {"<cat-toy>": vectors(1, 16)[0]},
        "several": {"emb_params": vectors(3, 16, seed=1)},
        "long": {"emb_params": vectors(70, 16, seed=3)},
        "xl": {"clip_l": vectors(2, 16, seed=2), "clip_g": vectors(2, 24, seed=2)},
    }
    for name, tensors in contents.items():
        save_file(tensors, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in contents}


def diffusers_with(model: Path, request: GenerateRequest) -> Result:
    pipeline = fresh_pipeline(model)
    for word, path in request.embeddings:
        tensors = _tensors(path)
        if "clip_g" in tensors:
            for name, number in (("clip_l", ""), ("clip_g", "_2")):
                pipeline.load_textual_inversion(
                    {"emb": tensors[name]},
                    token=word,
                    text_encoder=getattr(pipeline, f"text_encoder{number}"),
                    tokenizer=getattr(pipeline, f"tokenizer{number}"),
                )
        else:
            pipeline.load_textual_inversion({word: next(iter(tensors.values()))}, token=word)
    return run_pipeline(pipeline, request)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize(
    ("name", "prompt", "negative"),
    [
        ("single", "a red <toy> cat", "dog"),
        ("several", "a <toy>, the cat", "dog"),
        ("several", "a red cat", "<toy>"),
        ("several", "<toy>", "the <toy> dog"),
    ],
)
def test_alone_it_is_diffusers(
    bench: Bench, model: Path, files: Any, name: str, prompt: str, negative: str
) -> None:
    request = make_request(
        model, prompt=prompt, negative_prompt=negative, embeddings=(("<toy>", files[name]),)
    )
    assert largest_difference(bench.run(request)["one"], diffusers_with(model, request)) == 0


def test_both_encoders_of_sdxl(tiny_xl: Path, files: dict[str, Path]) -> None:
    request = make_request(
        tiny_xl,
        prompt="a <toy> cat",
        negative_prompt="the <toy>",
        sampler="euler",
        embeddings=(("<toy>", files["xl"]),),
    )
    assert largest_difference(Bench(tiny_xl).run(request)["one"], diffusers_with(tiny_xl, request)) == 0


def test_in_company_the_word_is_its_own_requests(model: Path, files: dict[str, Path]) -> None:
    """One word stands for two things in two requests, and for its own letters in a third."""
    bench = Bench(model)
    tables = bench.stage._prompts._text_encoder.get_input_embeddings().weight
    before, words = tables.clone(), len(bench.stage._prompts._tokenizer)
    requests = [
        make_request(model, "one", prompt="a toy cat", embeddings=(("toy", files["single"]),)),
        make_request(model, "other", prompt="a toy cat", embeddings=(("toy", files["several"]),), seeds=(1,)),
        make_request(model, "none", prompt="a toy cat"),
    ]
    for _ in range(2):  # The second time every prompt is remembered.
        together = bench.run(*requests, joins={"other": 1})
        assert largest_difference(together["none"], diffusers_says(model, requests[2])) <= 1e-10
        for request in requests[:2]:
            assert largest_difference(together[request.request_id], diffusers_with(model, request)) <= 1e-10
    assert torch.equal(tables, before)
    assert len(bench.stage._prompts._tokenizer) == words


def test_weights_reach_the_word(bench: Bench, model: Path, files: dict[str, Path]) -> None:
    embeddings = (("toy", files["several"]),)
    heavy = make_request(model, prompt="a (toy:1.5) cat", embeddings=embeddings)
    plain = make_request(model, prompt="a toy cat", embeddings=embeddings)
    other = make_request(model, prompt="a (toy:1.5) cat")
    results = [bench.run(request)["one"] for request in (heavy, plain, other)]
    assert largest_difference(results[0], results[1]) > 1e-6
    assert largest_difference(results[0], results[2]) > 1e-6


def test_it_counts_as_many_tokens_as_it_has(bench: Bench, files: dict[str, Path]) -> None:
    prompts = bench.stage._prompts
    embeddings = bench.stage._embeddings.load([("toy", files["long"]), ("cat", files["several"])])
    from engine.worker.prompts.encoder import Reading

    reading = Reading(embeddings=embeddings)
    assert prompts.encode("toy " + "a " * 5, reading).shape[1] == 77
    assert prompts.encode("toy " + "a " * 6, reading).shape[1] == 154
    # It does not fit behind six words any more, so it begins a window of its own, whole.
    moved = prompts.encode("a a a a a a toy", reading)
    apart = [prompts.encode(text, reading) for text in ("a a a a a a", "toy")]
    assert torch.allclose(moved, torch.cat(apart, dim=1), atol=1e-12)
    assert prompts.unread_words("a " * (75 * 54 - 4) + "cat dog", embeddings) == ("dog",)


def test_split_takes_whole_words_the_longer_first() -> None:
    short, long = (Embedding(("", 0, 0), {}) for _ in range(2))
    embeddings = (("toy", short), ("toy-cat", long))
    assert split("A Toy, toy-cat toys", embeddings) == ["A ", short, ", ", long, " toys"]
    assert split("plain", ()) == ["plain"]


@pytest.fixture
def bad_files(files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    contents = {
        "wide": {"emb_params": vectors(1, 768)},
        "xl768": {"clip_l": vectors(1, 768), "clip_g": vectors(1, 1280)},
        "odd": {"a": vectors(1, 16), "b": vectors(1, 16)},
        "cubic": {"emb_params": torch.ones(1, 1, 16)},
        "unequal": {"clip_l": vectors(1, 16), "clip_g": vectors(2, 24)},
    }
    for name, tensors in contents.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(files["several"].read_bytes()[:-8])
    return {name: tmp_path / f"{name}.safetensors" for name in [*contents, "cut", "gone"]}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("wide", "embedding_mismatch", "Stable Diffusion 1.x"),
        ("xl768", "embedding_mismatch", "Stable Diffusion XL"),
        ("odd", "embedding_unknown", "no embedding"),
        ("cubic", "embedding_unknown", "no embedding"),
        ("unequal", "embedding_unknown", "no embedding"),
        ("cut", "embedding_unreadable", "Download it again"),
        ("gone", "embedding_missing", "not there"),
    ],
)
def test_a_bad_file_fails_its_request_alone(
    bench: Bench, model: Path, bad_files: dict[str, Path], name: str, code: str, words: str
) -> None:
    bad = make_request(model, "bad", embeddings=(("toy", bad_files[name]),), num_inference_steps=1)
    results = bench.run(bad, make_request(model, "good", num_inference_steps=1))
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == code
    assert words in str(results["bad"].failure)
    assert len(results["good"].pixels) == 2


def test_an_embedding_for_one_encoder_is_no_embedding_for_sdxl(tiny_xl: Path, files: dict[str, Path]) -> None:
    request = make_request(tiny_xl, sampler="euler", embeddings=(("toy", files["several"]),))
    failure = Bench(tiny_xl).run(request)["one"].failure
    assert failure is not None
    assert failure.code == "embedding_mismatch"


@pytest.mark.parametrize(
    ("embeddings", "code"),
    [
        ((("toy", Path("toy.pt")),), "embedding_not_safetensors"),
        ((("", Path("toy.safetensors")),), "embedding_word_unusable"),
        ((("a toy", Path("toy.safetensors")),), "embedding_word_unusable"),
        ((("(toy)", Path("toy.safetensors")),), "embedding_word_unusable"),
        ((("toy", Path("a.safetensors")), ("TOY", Path("b.safetensors"))), "embedding_word_twice"),
        (tuple((f"toy{i}", Path("a.safetensors")) for i in range(33)), "embeddings_out_of_range"),
    ],
)
def test_refused_at_the_door(bench: Bench, model: Path, embeddings: Any, code: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        validate(make_request(model, embeddings=embeddings), bench.info)
    assert caught.value.code == code
