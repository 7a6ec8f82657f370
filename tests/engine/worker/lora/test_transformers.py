"""LoRAs of Diffusion Transformers, and what else they read: as diffusers applies them, in company too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine import GenerateRequest
from engine.validation import validate
from tests.engine.bench import Bench, Result, fresh_pipeline, largest_difference, make_request, with_params

FLUX = ("to_q", "to_out.0", "add_k_proj", "ff.net.0.proj", "proj_mlp", "norm1.linear", "x_embedder")
Z_IMAGE = ("to_q", "to_out.0", "feed_forward.w1", "adaLN_modulation.0")
OPTIONS: dict[str, Any] = {"flux": {"max_sequence_length": 24}, "z-image": {"max_sequence_length": 96}}


@pytest.fixture(scope="module")
def models(tiny_models: dict[str, Path]) -> dict[str, Path]:
    return {family: tiny_models[family] for family in OPTIONS}


@pytest.fixture(scope="module")
def benches(models: dict[str, Path]) -> dict[str, Bench]:
    return {name: Bench(folder) for name, folder in models.items()}


@pytest.fixture(scope="module")
def files(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loras")
    made = {
        "flux": write_peft(folder / "flux.safetensors", models["flux"], FLUX),
        "z-image": write_peft(folder / "z-image.safetensors", models["z-image"], Z_IMAGE),
    }
    random = torch.Generator().manual_seed(5)
    joined = {
        # What kohya's trainer calls a layer that diffusers has in three.
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.randn(2, 32, generator=random),
        "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.randn(96, 2, generator=random),
        "lora_unet_double_blocks_0_img_attn_qkv.alpha": torch.tensor(1.0),
        "lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": torch.randn(2, 32, generator=random),
        "lora_unet_double_blocks_0_img_attn_proj.lora_up.weight": torch.randn(32, 2, generator=random),
        "lora_unet_double_blocks_0_img_attn_proj.alpha": torch.tensor(1.0),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.randn(2, 16, generator=random),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.randn(32, 2, generator=random),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": torch.tensor(1.0),
    }
    save_file(joined, folder / "kohya.safetensors")
    made["kohya"] = folder / "kohya.safetensors"
    return made


def write_peft(path: Path, model: Path, endings: tuple[str, ...]) -> Path:
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for name, module in fresh_pipeline(model).transformer.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(endings):
            up, down = module.weight.shape
            tensors[f"transformer.{name}.lora_A.weight"] = torch.randn((2, down), generator=generator) * 0.3
            tensors[f"transformer.{name}.lora_B.weight"] = torch.randn((up, 2), generator=generator) * 0.3
    save_file(tensors, path)
    return path


def ask(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(
        model, request_id, **{"sampler": "flow_euler", "guidance_scale": 2.0, "negative_prompt": ""} | changes
    )


def diffusers_says(name: str, model: Path, request: GenerateRequest) -> Result:
    pytest.importorskip("peft")
    pipeline = fresh_pipeline(model)
    for number, (path, _) in enumerate(request.adapters):
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=str(number))
    if request.adapters:
        names = [str(number) for number in range(len(request.adapters))]
        pipeline.set_adapters(names, adapter_weights=[weight for _, weight in request.adapters])
    params, last = request.params, {}

    def keep(_: Any, step: int, time: Any, values: Any) -> dict[str, torch.Tensor]:
        last.update(values)
        return {}

    pipeline(
        request.prompt,
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        num_images_per_prompt=len(request.seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        callback_on_step_end=keep,
        height=params.height,
        width=params.width,
        **OPTIONS[name],
    )
    latents = last["latents"]
    return Result({index: latents[index : index + 1] for index in range(len(latents))})


@pytest.mark.parametrize(("model", "file"), [("flux", "flux"), ("flux", "kohya"), ("z-image", "z-image")])
def test_alone(
    benches: dict[str, Bench], models: dict[str, Path], files: dict[str, Path], model: str, file: str
) -> None:
    request = ask(models[model], adapters=((files[file], 0.7),))
    validate(request, replace(benches[model].info, min_side=8))
    ours = benches[model].run(request)["one"]
    assert largest_difference(ours, diffusers_says(model, models[model], request)) <= 1e-10
    plain = benches[model].run(ask(models[model]))["one"]
    assert largest_difference(ours, plain) > 1e-3


@pytest.mark.parametrize("model", ["flux", "z-image"])
def test_in_company(
    benches: dict[str, Bench], models: dict[str, Path], files: dict[str, Path], model: str
) -> None:
    folder = models[model]
    requests = [
        ask(folder, "plain"),
        ask(folder, "one", adapters=((files[model], 0.7),), num_inference_steps=6),
        ask(folder, "other", adapters=((files[model], -0.3),), guidance_scale=0.0, seeds=(9,)),
        with_params(ask(folder, "stopped", num_inference_steps=8, negative_prompt="dog"), stop=0.5),
        with_params(ask(folder, "interval", negative_prompt="dog"), guidance_interval=(0.25, 0.75)),
    ]
    together = benches[model].run(*requests, joins={"one": 1})
    assert max(benches[model].rows) > 4
    for request in requests:
        alone = benches[model].run(request)[request.request_id]
        assert largest_difference(together[request.request_id], alone) <= 1e-10
    assert largest_difference(together["plain"], diffusers_says(model, folder, requests[0])) <= 1e-10


@pytest.mark.parametrize("model", ["flux", "z-image"])
def test_stopping_early_and_guiding_now_and_then(
    benches: dict[str, Bench], models: dict[str, Path], model: str
) -> None:
    bench, counted = benches[model], []
    handle = bench.stage._transformer.register_forward_pre_hook(
        lambda _, inputs, options: counted.append(len((*inputs, options.get("hidden_states"))[0])),
        with_kwargs=True,
    )
    request = ask(models[model], num_inference_steps=8, negative_prompt="dog", seeds=(3,))
    result = bench.run(with_params(request, stop=0.5, guidance_interval=(0.25, 0.5)))["one"]
    handle.remove()
    assert result.failure is None
    assert counted == [1, 1, 2, 2]


def test_layers_that_see_all_rows_as_one_are_refused(
    benches: dict[str, Bench], models: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "embedder.safetensors"
    name = "transformer.cap_embedder.1"
    save_file({f"{name}.lora_A.weight": torch.ones(2, 16), f"{name}.lora_B.weight": torch.ones(32, 2)}, path)
    failure = benches["z-image"].run(ask(models["z-image"], adapters=((path, 1.0),)))["one"].failure
    assert failure is not None
    assert failure.code == "adapter_layer_unsupported"
    assert "all rows as one" in str(failure)
    assert "made for" not in str(failure)


@pytest.mark.parametrize("model", ["flux", "z-image"])
def test_names_that_nobody_knows_are_refused(
    benches: dict[str, Bench], models: dict[str, Path], tmp_path: Path, model: str
) -> None:
    path = tmp_path / "odd.safetensors"
    save_file(
        {"lora_unet_odd_0.lora_down.weight": torch.ones(2, 2), "lora_unet_odd_0.alpha": torch.ones(())}, path
    )
    results = benches[model].run(
        ask(models[model], "bad", adapters=((path, 1.0),)), ask(models[model], "good")
    )
    assert results["bad"].failure is not None
    assert results["bad"].failure.code in (
        "adapter_unreadable",
        "adapter_mismatch",
        "adapter_kind_unsupported",
    )
    assert len(results["good"].pixels) == 2


@pytest.mark.parametrize("model", ["flux", "z-image"])
@pytest.mark.parametrize(
    ("layer", "halves"),
    [
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", ("lora_down", "lora_up")),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", ("lora_A", "lora_B")),
    ],
)
def test_a_lora_of_another_architecture_is_named(
    benches: dict[str, Bench],
    models: dict[str, Path],
    tmp_path: Path,
    model: str,
    layer: str,
    halves: tuple[str, str],
) -> None:
    down, up = (f"{layer}.{half}.weight" for half in halves)
    save_file({down: torch.ones(2, 2048), up: torch.ones(640, 2)}, tmp_path / "xl.safetensors")
    request = ask(models[model], adapters=((tmp_path / "xl.safetensors", 1.0),))
    failure = benches[model].run(request)["one"].failure
    assert failure is not None
    assert failure.code == "adapter_mismatch"
    assert "made for Stable Diffusion XL" in str(failure)
