"""DoRA, LoHa and LoKr: as PEFT applies them, mixed per row with plain LoRAs and with none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file

from engine import GenerateRequest
from tests.engine.bench import Bench, Result, fresh_pipeline, largest_difference, make_request, run_pipeline
from tests.engine.worker.lora.files import TEXT_ENCODER, UNET, write_lora

KINDS = ("dora", "dora-kohya", "loha", "lokr")
SHORT = {"unet": "unet", "text_encoder": "te", "text_encoder_2": "te2"}


@pytest.fixture(scope="module")
def models(tiny_model: Path, tiny_xl: Path) -> dict[str, Path]:
    return {"sd": tiny_model, "xl": tiny_xl}


@pytest.fixture(scope="module")
def benches(models: dict[str, Path]) -> dict[str, Bench]:
    return {name: Bench(folder) for name, folder in models.items()}


def with_peft(model: Path, kind: str, path: Path, weight: float = 1.0, seed: int = 0) -> Any:
    """A pipeline with random weights of the kind in it, which are written to `path` as trainers name them.

    PEFT rounds the scale of a LoHa to float32: it is compared where that is exact.
    """
    torch.manual_seed(seed)
    pipeline = fresh_pipeline(model)
    xl = hasattr(pipeline, "text_encoder_2")
    tensors: dict[str, torch.Tensor] = {}
    for component in ("unet", "text_encoder", *(["text_encoder_2"] if xl else [])):
        targets = list(UNET if component == "unet" else TEXT_ENCODER)
        config: Any = (
            peft.LoHaConfig(r=4, alpha=2, target_modules=targets)
            if kind == "loha"
            else peft.LoKrConfig(r=2, alpha=2, target_modules=targets)
            if kind == "lokr"
            else peft.LoraConfig(r=3, lora_alpha=2, target_modules=targets, use_dora=True)
        )
        module = peft.inject_adapter_in_model(config, getattr(pipeline, component)).double()
        short = "te1" if xl and component == "text_encoder" else SHORT[component]
        for name, layer in module.named_modules():
            if not isinstance(layer, BaseTunerLayer):
                continue
            flat = f"lora_{short}_{name.removeprefix('text_model.').replace('.', '_')}"
            written = written_by(kind, component, name, flat)
            if kind != "dora":
                tensors[f"{flat}.alpha"] = torch.tensor(2.0)
            for part, tensor in layer.named_parameters():
                if "base_layer" in part:
                    continue
                length = part.startswith("lora_magnitude_vector")
                noise = torch.randn(tensor.shape, dtype=torch.float32).double()
                tensor.data = tensor.data * (1 + 0.2 * noise) if length else 0.3 * noise
                tensor.data = tensor.data.float().double()  # Files hold float32.
                kept = tensor.data.float()
                if kind == "dora-kohya" and length:
                    kept = kept.reshape(-1, *[1] * (layer.get_base_layer().weight.ndim - 1))
                tensors[written(part.replace(".default", "").removesuffix(".weight"))] = kept
            layer.set_scale("default", weight)
    metadata = {}
    if kind == "dora":
        said = {f"{component}.lora_alpha": 2 for component in SHORT}
        metadata = {"lora_adapter_metadata": str(said).replace("'", '"')}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    return pipeline


def written_by(kind: str, component: str, name: str, flat: str) -> Any:
    if kind == "dora":
        return lambda part: f"{component}.{name}.{part}" + (".weight" if part.startswith("lora_") else "")
    names = {"lora_A": "lora_down.weight", "lora_B": "lora_up.weight", "lora_magnitude_vector": "dora_scale"}
    return lambda part: f"{flat}.{names.get(part, part)}"


@pytest.mark.parametrize("weight", [1.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["sd", "xl"])
def test_alone_as_peft_applies_it(
    models: dict[str, Path], benches: dict[str, Bench], tmp_path: Path, model: str, kind: str, weight: float
) -> None:
    path = tmp_path / "one.safetensors"
    pipeline = with_peft(models[model], kind, path, weight)
    request = make_request(models[model], adapters=((path, weight),), sampler="euler")
    theirs = run_pipeline(pipeline, request)
    ours = benches[model].run(request)["one"]
    assert largest_difference(ours, theirs) <= 1e-10
    plain = benches[model].run(make_request(models[model], sampler="euler"))["one"]
    assert largest_difference(plain, theirs) > 1e-3


@pytest.fixture(scope="module")
def company(
    benches: dict[str, Bench], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[GenerateRequest, Result]]:
    """Every kind with what PEFT makes of it, and others with what they are alone."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = {kind: folder / f"{kind}.safetensors" for kind in KINDS}
    pipelines = {
        kind: with_peft(tiny_model, kind, path, 0.5, seed) for seed, (kind, path) in enumerate(paths.items())
    }
    plain = write_lora(folder / "plain.safetensors", tiny_model)
    requests = [make_request(tiny_model, kind, adapters=((path, 0.5),)) for kind, path in paths.items()]
    others = [
        make_request(tiny_model, "none"),
        make_request(tiny_model, "plain", adapters=((plain, 1.0),), guidance_scale=1.0),
        make_request(tiny_model, "weaker", adapters=((paths["dora"], 0.2),), num_inference_steps=6),
        make_request(tiny_model, "both", adapters=((paths["loha"], 0.5), (paths["dora"], -0.5))),
    ]
    return [
        *((request, run_pipeline(pipelines[request.request_id], request)) for request in requests),
        *((request, benches["sd"].alone(request)) for request in others),
    ]


@pytest.mark.parametrize("row_budget", [64, 6])
def test_mixed_in_company(
    tiny_model: Path, company: list[tuple[GenerateRequest, Result]], row_budget: int
) -> None:
    bench = Bench(tiny_model, row_budget=row_budget)
    together = bench.run(*(request for request, _ in company), joins={"plain": 1, "loha": 2})
    assert max(bench.rows) >= 6
    for request, expected in company:
        assert largest_difference(together[request.request_id], expected) <= 1e-10


@pytest.mark.parametrize(
    ("kind", "ending", "made", "code", "words"),
    [
        ("loha", "hada_w1_b", lambda t: t[:, :-1], "adapter_mismatch", "shapes"),
        ("loha", "hada_w2_a", lambda t: t[:, :-1], "adapter_mismatch", "shapes"),
        ("loha", "hada_w2_a", lambda t: None, "adapter_mismatch", "shapes"),
        ("lokr", "lokr_w1", lambda t: t[:-1], "adapter_mismatch", "shapes"),
        ("dora-kohya", "dora_scale", lambda t: torch.ones(1, t.numel()), "adapter_mismatch", "magnitude"),
        ("dora-kohya", "lora_up.weight", lambda t: None, "adapter_unreadable", "one half"),
    ],
)
def test_what_does_not_fit_is_refused(
    benches: dict[str, Bench],
    tiny_model: Path,
    tmp_path: Path,
    kind: str,
    ending: str,
    made: Any,
    code: str,
    words: str,
) -> None:
    path = tmp_path / "bad.safetensors"
    with_peft(tiny_model, kind, path)
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith(ending))
    changed = made(tensors.pop(name))
    save_file(tensors if changed is None else {**tensors, name: changed.contiguous()}, path)
    failure = benches["sd"].run(make_request(tiny_model, adapters=((path, 1.0),)))["one"].failure
    assert failure is not None
    assert (failure.code, words in str(failure)) == (code, True)


@pytest.mark.parametrize(
    ("part", "kind"), [("dora_scale", "a DoRA"), ("hada_w1_a", "a LoHa"), ("lokr_w1", "a LoKr")]
)
def test_transformers_name_the_kind_that_they_do_not_take(
    tiny_flux: Path, tmp_path: Path, part: str, kind: str
) -> None:
    save_file({f"transformer.x.{part}": torch.ones(2, 2)}, tmp_path / "kind.safetensors")
    request = make_request(
        tiny_flux, sampler="flow_euler", negative_prompt="", adapters=((tmp_path / "kind.safetensors", 1.0),)
    )
    failure = Bench(tiny_flux).run(request)["one"].failure
    assert failure is not None
    assert failure.code == "adapter_kind_unsupported"
    assert f"is {kind}, which cannot be used with this model" in str(failure)
    assert "plain LoRA version" in str(failure)
