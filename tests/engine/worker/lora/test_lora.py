"""LoRAs: alone as diffusers applies them, in company without touching the neighbours, refused with a reason."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import GenerateRequest, RequestRejected
from engine.validation import validate
from engine.worker.lora.store import LoraStore
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    diffusers_says,
    fresh_pipeline,
    largest_difference,
    make_request,
    run_pipeline,
)
from tests.engine.tiny import write_tiny_model
from tests.engine.worker.lora.files import fold, write_lora

NAMINGS = ("peft", "diffusers", "kohya")


@pytest.fixture(scope="module")
def bench(tiny_model: Path) -> Bench:
    return Bench(tiny_model)


@pytest.fixture(scope="module")
def files(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One in each naming, and one for the denoiser alone."""
    folder = tmp_path_factory.mktemp("loras")
    made = {
        naming: write_lora(folder / f"{naming}.safetensors", tiny_model, naming=naming, seed=seed)
        for seed, naming in enumerate(NAMINGS)
    }
    made["unet"] = write_lora(folder / "unet.safetensors", tiny_model, text=False, rank=1, alpha=1.0, seed=9)
    return made


def diffusers_with(model: Path, request: GenerateRequest) -> Result:
    """The request through diffusers' own load_lora_weights and set_adapters."""
    pytest.importorskip("peft")
    pipeline = fresh_pipeline(model)
    for number, (path, _) in enumerate(request.adapters):
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=str(number))
    names = [str(number) for number in range(len(request.adapters))]
    pipeline.set_adapters(names, adapter_weights=[weight for _, weight in request.adapters])
    return run_pipeline(pipeline, request)


@pytest.mark.parametrize("naming", NAMINGS)
def test_alone_it_is_diffusers_bit_for_bit(bench: Bench, tiny_model: Path, files: Any, naming: str) -> None:
    request = make_request(tiny_model, adapters=((files[naming], 0.7),))
    ours = bench.run(request)["one"]
    assert largest_difference(ours, diffusers_with(tiny_model, request)) == 0
    assert largest_difference(ours, bench.run(make_request(tiny_model))["one"]) > 1e-3


def test_several_alone(bench: Bench, tiny_model: Path, files: Any) -> None:
    request = make_request(
        tiny_model, adapters=((files["peft"], 0.7), (files["kohya"], -0.4), (files["unet"], 1.0))
    )
    assert largest_difference(bench.run(request)["one"], diffusers_with(tiny_model, request)) <= 1e-10


def test_it_is_what_folding_it_into_the_weights_gives(bench: Bench, tiny_model: Path, files: Any) -> None:
    request = make_request(tiny_model, adapters=((files["peft"], 0.7), (files["unet"], 0.5)))
    pipeline = fresh_pipeline(tiny_model)
    fold(pipeline, files["peft"], 0.7, alpha=2.0)
    fold(pipeline, files["unet"], 0.5, alpha=1.0)
    assert largest_difference(bench.run(request)["one"], run_pipeline(pipeline, request)) <= 1e-10


def company(model: Path, files: dict[str, Path]) -> list[GenerateRequest]:
    """Different files, weights and none at all; one file twice with different weights; every length and guidance."""
    return [
        make_request(model, "plain"),
        make_request(model, "one", adapters=((files["peft"], 0.7),)),
        make_request(
            model, "other", adapters=((files["kohya"], 1.0),), sampler="euler_a", guidance_scale=1.0
        ),
        make_request(model, "weaker", adapters=((files["peft"], 0.2),), num_inference_steps=6, seeds=(1,)),
        make_request(model, "both", adapters=((files["kohya"], 0.5), (files["unet"], -1.0)), sampler="unipc"),
    ]


@pytest.mark.parametrize("row_budget", [64, 6])
def test_mixed_in_company(bench: Bench, tiny_model: Path, files: dict[str, Path], row_budget: int) -> None:
    crowd = Bench(tiny_model, row_budget=row_budget)
    requests = company(tiny_model, files)
    together = crowd.run(*requests, joins={"one": 1, "both": 2})
    assert max(crowd.rows) >= 6
    assert largest_difference(together["plain"], diffusers_says(tiny_model, requests[0])) <= 1e-10
    assert largest_difference(together["one"], diffusers_with(tiny_model, requests[1])) <= 1e-10
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10


def test_exact_mode_is_blind_to_neighbours_with_loras(tiny_model: Path, files: dict[str, Path]) -> None:
    bench = Bench(tiny_model, dtype="auto", exact=True)
    assert_blind_to_company(bench, *company(tiny_model, files))


def test_nothing_stays_behind(bench: Bench, tiny_model: Path, files: dict[str, Path]) -> None:
    bench.run(make_request(tiny_model, adapters=((files["peft"], 1.0),)))
    request = make_request(tiny_model)
    assert largest_difference(bench.run(request)["one"], diffusers_says(tiny_model, request)) == 0


def test_a_weight_of_nothing_changes_nothing(bench: Bench, tiny_model: Path, files: dict[str, Path]) -> None:
    request = make_request(tiny_model, adapters=((files["peft"], 0.0),))
    assert (
        largest_difference(bench.run(request)["one"], diffusers_says(tiny_model, make_request(tiny_model)))
        == 0
    )


def changed(path: Path, to: Path, **changes: torch.Tensor) -> Path:
    """The same file with tensors replaced or added; the first key that ends so, else a new one."""
    tensors = load_file(path)
    for ending, tensor in changes.items():
        key = next((key for key in tensors if key.endswith(ending)), f"unet.x.{ending}")
        tensors[key] = tensor
    save_file(tensors, to)
    return to


@pytest.fixture
def bad_files(files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    whole = files["peft"].read_bytes()
    (tmp_path / "adapter_unreadable.safetensors").write_bytes(whole[:-100])
    (tmp_path / "text.safetensors").write_text("not a LoRA at all")
    other = write_tiny_model(tmp_path / "other", seed=2)
    wide = write_lora(tmp_path / "fits.safetensors", other)
    tensors = load_file(wide)
    return {
        "cut short": tmp_path / "adapter_unreadable.safetensors",
        "no safetensors": tmp_path / "text.safetensors",
        "missing": tmp_path / "gone.safetensors",
        "wider": _save(
            tmp_path / "wide.safetensors", {k: torch.cat([t, t], dim=1) for k, t in tensors.items()}
        ),
        "other layers": _save(
            tmp_path / "deep.safetensors", {k.replace("blocks.0", "blocks.7"): t for k, t in tensors.items()}
        ),
        "half": _save(tmp_path / "half.safetensors", dict(list(tensors.items())[1:])),
        "length alone": changed(wide, tmp_path / "dora.safetensors", dora_scale=torch.ones(8)),
        "core": changed(wide, tmp_path / "loha.safetensors", hada_t1=torch.ones(8, 2)),
        "oft": changed(wide, tmp_path / "oft.safetensors", oft_blocks=torch.ones(8, 2)),
        "empty": _save(tmp_path / "empty.safetensors", {}),
    }


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("cut short", "adapter_unreadable", "Download it again"),
        ("no safetensors", "adapter_unreadable", "Download it again"),
        ("missing", "adapter_missing", "not there"),
        ("wider", "adapter_mismatch", "another kind of model"),
        ("other layers", "adapter_mismatch", "has no layer"),
        ("half", "adapter_unreadable", "one half"),
        ("length alone", "adapter_unreadable", "one half of unet.x"),
        ("core", "adapter_kind_unsupported", "a LoHa with a core"),
        ("oft", "adapter_kind_unsupported", "an OFT"),
        ("empty", "adapter_unreadable", "any layer"),
    ],
)
def test_a_bad_file_fails_its_request_alone(
    bench: Bench, tiny_model: Path, bad_files: dict[str, Path], kind: str, code: str, words: str
) -> None:
    bad = make_request(
        tiny_model, "bad", adapters=((bad_files[kind], 1.0),), seeds=(1,), num_inference_steps=1
    )
    good = make_request(tiny_model, "good", seeds=(1,), num_inference_steps=1)
    results = bench.run(bad, good)
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == code
    assert words in str(results["bad"].failure)
    assert len(results["good"].pixels) == 1
    assert len(bench.run(good)["good"].pixels) == 1


@pytest.mark.parametrize(
    ("adapters", "code"),
    [
        (((Path("style.pt"), 1.0),), "adapter_not_safetensors"),
        (((Path("style.safetensors"), 11.0),), "adapter_weight_out_of_range"),
        (((Path("style.safetensors"), float("nan")),), "adapter_weight_out_of_range"),
        (((Path("style.safetensors"), 0.1),) * 9, "adapters_out_of_range"),
    ],
)
def test_refused_at_the_door(bench: Bench, tiny_model: Path, adapters: Any, code: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        validate(make_request(tiny_model, adapters=adapters), bench.info)
    assert caught.value.code == code


def test_other_families_say_that_they_take_none(bench: Bench, tiny_model: Path) -> None:
    elsewhere = replace(bench.info, family="another")
    with pytest.raises(RequestRejected, match="does not read adapters") as caught:
        validate(make_request(tiny_model, adapters=((Path("style.safetensors"), 1.0),)), elsewhere)
    assert caught.value.code == "adapters_unsupported"


def test_files_are_read_once_until_they_change(
    bench: Bench, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fresh_store(bench)
    path = tmp_path / "style.safetensors"
    path.write_bytes(files["peft"].read_bytes())
    ((first, _),) = store.load([(path, 1.0)])
    ((again, _),) = store.load([(path, 0.5)])
    assert again is first
    os.utime(path, ns=(1, 1))
    ((changed_one, _),) = store.load([(path, 1.0)])
    assert changed_one is not first


def fresh_store(bench: Bench) -> LoraStore:
    components = {"unet": bench.stage._unet, "text_encoder": bench.stage._prompts._text_encoder}
    return LoraStore(components, torch.device("cpu"), torch.float64)


def test_prompts_are_encoded_anew_only_for_loras_that_touch_the_encoder(
    bench: Bench, tiny_model: Path, files: dict[str, Path]
) -> None:
    prompts = bench.stage._prompts
    bench.run(make_request(tiny_model, prompt="seen", seeds=(1,), num_inference_steps=1))
    known = len(prompts._encoded)
    bench.run(
        make_request(
            tiny_model, prompt="seen", seeds=(1,), num_inference_steps=1, adapters=((files["unet"], 1.0),)
        )
    )
    assert len(prompts._encoded) == known
    touching = make_request(
        tiny_model, prompt="seen", seeds=(1,), num_inference_steps=1, adapters=((files["kohya"], 0.25),)
    )
    bench.run(touching)
    assert len(prompts._encoded) == known + 2
    bench.run(touching)
    assert len(prompts._encoded) == known + 2


@pytest.mark.parametrize(
    ("layer", "width", "base"),
    [
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048, "Stable Diffusion XL"),
        ("unet.down_blocks.7.attentions.0.transformer_blocks.0.attn2.to_k", 768, "Stable Diffusion 1.x"),
        ("lora_unet_double_blocks_0_img_attn_qkv", 3072, "FLUX.1"),
        ("transformer.single_transformer_blocks.0.attn.to_q", 3072, "FLUX.1"),
        ("diffusion_model.layers.0.adaLN_modulation.0", 256, "Z-Image"),
        ("unet.unheard_of", 5, "another kind of model"),
    ],
)
def test_a_lora_of_another_architecture_is_named(
    bench: Bench, tiny_model: Path, tmp_path: Path, layer: str, width: int, base: str
) -> None:
    down, up = ("lora_down", "lora_up") if layer.startswith("lora_") else ("lora_A", "lora_B")
    halves = {f"{layer}.{down}.weight": torch.ones(2, width), f"{layer}.{up}.weight": torch.ones(8, 2)}
    path = _save(tmp_path / "foreign.safetensors", halves)
    failure = bench.run(make_request(tiny_model, adapters=((path, 1.0),)))["one"].failure
    assert failure is not None
    assert (failure.code, failure.values["base"]) == ("adapter_mismatch", base)
    assert f"made for {base}" in str(failure)
