"""Another autoencoder in place of the model's own: as diffusers' pipelines with it, for its own request alone."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save, save_file

from engine import GenerateRequest, GenerationFailed, RequestRejected
from engine.validation import validate
from engine.worker.autoencoder_store import AutoencoderStore
from tests.engine.bench import Bench, diffusers_says, largest_difference, make_request
from tests.engine.ldm import vae_name
from tests.engine.tiny import tiny_vae_kl, tiny_vae_taesd
from tests.engine.worker.models.pipelines import pipeline_of


@pytest.fixture(scope="module")
def bench(tiny_model: Path) -> Bench:
    return Bench(tiny_model)


@pytest.fixture(scope="module")
def vaes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One autoencoder as a folder, within a model's folder, and as a file with each kind of names; and a smaller kind."""
    root = tmp_path_factory.mktemp("vaes")
    torch.manual_seed(7)
    vae = tiny_vae_kl()
    vae.save_pretrained(root / "folder")
    vae.save_pretrained(root / "model" / "vae")
    tensors = vae.state_dict()
    save_file(tensors, root / "plain.safetensors")
    first_names = {}
    for name, tensor in tensors.items():
        original = vae_name(name, 2)
        first_names[original] = (
            tensor[..., None, None] if ".attn_1." in original and tensor.ndim == 2 else tensor
        )
    save_file(first_names, root / "original.safetensors")
    older = {}
    for name, tensor in tensors.items():
        for now, before in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value.")):
            name = name.replace(now, before)
        older[name.replace(".to_out.0.", ".proj_attn.")] = tensor
    save_file(older, root / "older.safetensors")
    torch.manual_seed(8)
    tiny = tiny_vae_taesd()
    tiny.register_to_config(scaling_factor=0.18215)
    tiny.save_pretrained(root / "tiny")
    names = ("folder", "model", "plain.safetensors", "original.safetensors", "older.safetensors", "tiny")
    return {name.partition(".")[0]: root / name for name in names}


def diffusers_with(model: Path, request: GenerateRequest, folder: Path) -> dict[int, np.ndarray]:
    task = "" if request.init_image is None else "Img2Img"
    pipeline = pipeline_of(model, f"StableDiffusion{task}Pipeline", torch.float64, folder)
    params = request.params
    given: dict[str, Any] = {"height": params.height, "width": params.width}
    if request.init_image is not None:
        given = {"image": Image.open(request.init_image).convert("RGB"), "strength": params.strength}
    images = pipeline(
        request.prompt,
        negative_prompt=params.negative_prompt,
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        num_images_per_prompt=len(request.seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        **given,
    ).images
    return {index: np.asarray(image) for index, image in enumerate(images)}


@pytest.mark.parametrize("name", ["folder", "model", "plain", "original", "older"])
def test_decodes_as_diffusers_does(bench: Bench, tiny_model: Path, vaes: dict[str, Path], name: str) -> None:
    request = make_request(tiny_model, vae=vaes[name])
    ours = bench.run(request)["one"]
    assert ours.failure is None
    for index, pixels in diffusers_with(tiny_model, request, vaes["folder"]).items():
        assert np.array_equal(ours.pixels[index], pixels)


@pytest.mark.parametrize("name", ["folder", "tiny"])
def test_encodes_as_diffusers_does(
    bench: Bench, tiny_model: Path, vaes: dict[str, Path], picture: Path, name: str
) -> None:
    request = make_request(
        tiny_model, vae=vaes[name], init_image=picture, strength=0.5, num_inference_steps=6
    )
    ours = bench.run(request)["one"]
    assert ours.failure is None
    for index, pixels in diffusers_with(tiny_model, request, vaes[name]).items():
        assert np.array_equal(ours.pixels[index], pixels)


@pytest.mark.parametrize("architecture", ["stable-diffusion-v1/vae", "something-new"])
def test_a_file_may_say_what_it_was_made_for(
    bench: Bench, vaes: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, architecture: str
) -> None:
    path = tmp_path / "said.safetensors"
    save_file(load_file(vaes["plain"]), path, metadata={"modelspec.architecture": architecture})
    assert bench.stage.autoencoders.load(path) is not None
    assert ("does not say" in caplog.text) == (architecture == "something-new")


def test_sdxl_takes_one_too(tiny_xl: Path, tmp_path: Path, vaes: dict[str, Path]) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(vaes["folder"])
    vae.register_to_config(scaling_factor=0.13025)
    vae.save_pretrained(tmp_path / "vae")
    request = make_request(tiny_xl, vae=tmp_path / "vae", sampler="euler")
    ours = Bench(tiny_xl).run(request)["one"]
    assert ours.failure is None
    assert np.array_equal(ours.pixels[0], _decoded(tmp_path / "vae", ours.latents[0]))


def _decoded(folder: Path, latents: torch.Tensor) -> np.ndarray:
    vae = diffusers.AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float64)
    with torch.inference_mode():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    rgb = (decoded * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).float().numpy()
    return (rgb * 255).round().astype("uint8")


def test_in_company_with_the_models_own(tiny_model: Path, vaes: dict[str, Path], picture: Path) -> None:
    bench = Bench(tiny_model)
    requests = [
        make_request(tiny_model, "own"),
        make_request(tiny_model, "other", vae=vaes["folder"]),
        make_request(tiny_model, "tiny", vae=vaes["tiny"], init_image=picture, num_inference_steps=6),
        make_request(tiny_model, "varied", init_image=picture, strength=0.5, num_inference_steps=6),
    ]
    together = bench.run(*requests, joins={"own": 1})
    assert max(bench.rows) > 4
    for request in requests:
        alone = bench.run(request)[request.request_id]
        assert largest_difference(together[request.request_id], alone) <= 1e-10
    theirs = diffusers_says(tiny_model, requests[0])
    assert np.array_equal(together["own"].pixels[0], theirs.pixels[0])
    assert np.array_equal(
        together["other"].pixels[0], diffusers_with(tiny_model, requests[1], vaes["folder"])[0]
    )
    assert (together["own"].pixels[0] != together["other"].pixels[0]).any()


def test_previews_are_its_own_too(bench: Bench, tiny_model: Path, vaes: dict[str, Path]) -> None:
    stage = bench.stage
    other = stage.autoencoders.load(vaes["folder"])  # Held here, it is what the request gets.
    seen = []
    estimate = other.estimate
    other.estimate = lambda latents: seen.append(len(latents)) or estimate(latents)
    bench.run(make_request(tiny_model, vae=vaes["folder"]))
    other.estimate = estimate
    assert seen == [2, 2, 2]


def test_it_is_read_once_and_held_by_whoever_uses_it(bench: Bench, vaes: dict[str, Path]) -> None:
    store = AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False)
    one = store.load(vaes["folder"])
    assert store.load(vaes["folder"]) is one
    weight = weakref.ref(next(one.vae.parameters()))
    del one
    assert weight() is None, "nothing else holds it, and no collector is needed"


@pytest.mark.parametrize("within", [".", "vae"])
def test_a_folder_is_read_again_once_a_file_in_it_was_overwritten(
    bench: Bench, vaes: dict[str, Path], tmp_path: Path, within: str
) -> None:
    store = AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False)
    folder = tmp_path / "other"
    shutil.copytree(vaes["folder"], folder / within)
    before = store.load(folder)
    file = folder / within / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    content = save({name: tensor + 1 for name, tensor in tensors.items()}, metadata={"format": "pt"})
    with file.open("r+b") as open_file:
        open_file.write(content)
    after = store.load(folder)
    assert after is not before
    config = folder / within / "config.json"
    config.write_text(config.read_text() + "\n")
    assert store.load(folder) is not after
    again = store.load(folder)
    assert store.load(folder) is again


@pytest.fixture
def bad(vaes: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    vae = diffusers.AutoencoderKL.from_pretrained(vaes["folder"])
    vae.register_to_config(scaling_factor=0.13025)
    vae.save_pretrained(tmp_path / "scaling")
    deep = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
    )
    deep.save_pretrained(tmp_path / "channels")
    save_file(deep.state_dict(), tmp_path / "channels.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "none.safetensors")
    says_xl = {"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"}
    save_file(vae.state_dict(), tmp_path / "header.safetensors", metadata=says_xl)
    spoiled = load_file(vaes["plain"])
    spoiled["decoder.conv_out.bias"][1] = torch.nan
    save_file(spoiled, tmp_path / "nan.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(vaes["plain"].read_bytes()[:-8])
    (tmp_path / "empty").mkdir()
    (tmp_path / "weightless").mkdir()
    (tmp_path / "weightless" / "config.json").write_text((vaes["folder"] / "config.json").read_text())
    return {path.name: path for path in tmp_path.iterdir()} | {"gone": tmp_path / "gone"}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("scaling", "vae_mismatch", "scaling factor"),
        ("scaling/diffusion_pytorch_model.safetensors", "vae_mismatch", "scaling factor"),
        ("header.safetensors", "vae_mismatch", "stable-diffusion-xl"),
        ("channels", "vae_mismatch", "channels"),
        ("channels.safetensors", "vae_mismatch", "shape"),
        ("none.safetensors", "vae_mismatch", "no layer"),
        ("cut.safetensors", "vae_unreadable", "Download it again"),
        ("nan.safetensors", "vae_unreadable", "holds something that is no number"),
        ("empty", "vae_unreadable", "config.json"),
        ("weightless", "vae_unreadable", "no .safetensors"),
        ("gone", "vae_missing", "not there"),
    ],
)
def test_a_bad_one_fails_its_request_alone(
    bench: Bench, tiny_model: Path, bad: dict[str, Path], name: str, code: str, words: str
) -> None:
    first, _, rest = name.partition("/")
    request = make_request(tiny_model, "bad", vae=bad[first] / rest, num_inference_steps=1)
    results = bench.run(request, make_request(tiny_model, "good", num_inference_steps=1))
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == code
    assert words in str(results["bad"].failure)
    assert len(results["good"].pixels) == 2


def small(folder: Path, **changes: Any) -> Path:
    """Another autoencoder of the model's kind but for `changes` of its configuration."""
    given: dict[str, Any] = {
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "norm_num_groups": 4,
    }
    diffusers.AutoencoderKL(**given | changes).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out_channels": 1}, "1 as colours drawn, this model's 3"),
        ({"out_channels": 4}, "4 as colours drawn"),
        ({"in_channels": 4}, "4 as colours read"),
        ({"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}, "latents_mean"),
    ],
)
def test_one_of_other_colours_or_latents_is_refused(
    bench: Bench, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    store = AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False)
    with pytest.raises(GenerationFailed) as caught:
        store.load(small(tmp_path / "vae", **changes))
    assert caught.value.code == "vae_mismatch"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "config.json cannot be read"),
        ("[]", "that of nothing"),
        ('{"_class_name": ["AutoencoderKL"]}', "not of AutoencoderKL or"),
        ('{"_class_name": "AutoencoderKLTemporalDecoder"}', "that of AutoencoderKLTemporalDecoder"),
        ('{"_class_name": "AutoencoderKL", "block_out_channels": "x"}', "a value in its config.json"),
        ('{"_class_name": "AutoencoderKL", "latent_channels": -1}', "a value in its config.json"),
        ('{"_class_name": "AutoencoderKL", "down_block_types": ["Nope"]}', "a value in its config.json"),
        ('{"_class_name": "AutoencoderKL", "scaling_factor": null}', "a value in its config.json"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(
    bench: Bench, vaes: dict[str, Path], tmp_path: Path, config: str, words: str
) -> None:
    folder = shutil.copytree(vaes["folder"], tmp_path / "vae")
    (folder / "config.json").write_text(config)
    with pytest.raises(GenerationFailed) as caught:
        AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False).load(folder)
    assert caught.value.code == "vae_unreadable"
    assert words in str(caught.value)
    assert "as safetensors" not in str(caught.value)


def test_quantised_weights_are_refused_in_one_sentence(
    bench: Bench, vaes: dict[str, Path], tmp_path: Path
) -> None:
    tensors = load_file(vaes["plain"])
    file = tmp_path / "int8.safetensors"
    save_file({name: tensor.to(torch.int8) for name, tensor in tensors.items()}, file)
    with pytest.raises(GenerationFailed, match="int8") as caught:
        AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False).load(file)
    assert caught.value.code == "vae_unreadable"
    assert "\n" not in str(caught.value)


def test_weights_that_come_in_parts_are_all_read(bench: Bench, vaes: dict[str, Path], tmp_path: Path) -> None:
    store = AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False)
    folder = tmp_path / "parts"
    diffusers.AutoencoderKL.from_pretrained(vaes["folder"]).save_pretrained(folder, max_shard_size="8KB")
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 2
    whole = store.load(vaes["folder"]).vae.state_dict()
    for path in (folder, files[1]):
        found = store.load(path).vae.state_dict()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in found.items())
    files[2].unlink()
    with pytest.raises(GenerationFailed, match=rf"{len(files)} parts, of which {files[2].name}") as caught:
        store.load(folder)
    assert caught.value.code == "vae_unreadable"


def test_a_name_that_no_file_can_have_is_a_file_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(GenerationFailed) as caught:
        AutoencoderStore(bench.stage._autoencoder, heeds_upcast=False).load(Path("a\0b.safetensors"))
    assert caught.value.code == "vae_missing"
    assert "\0" not in str(caught.value)


def test_pickled_ones_are_refused_at_the_door(bench: Bench, tiny_model: Path) -> None:
    with pytest.raises(RequestRejected) as caught:
        validate(make_request(tiny_model, vae=Path("vae.pt")), bench.info)
    assert caught.value.code == "vae_not_safetensors"
