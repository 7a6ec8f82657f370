"""The weights that ship: they load as any model of their kind does, are small, and do what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from engine import DescribeRequest, EngineConfig, TextReady
from engine.catalog.families import UNET_SAMPLERS
from engine.launch import launch_engine
from engine.training.__main__ import main
from engine.training.compute import Compute
from engine.training.contrastive import embed_pictures, embed_texts, retrieval
from engine.training.drawing import Sampling, artist, shrunk
from engine.training.gates import ATTRIBUTES
from engine.training.probe import Probe, predict, scores
from engine.training.profile import CPU
from engine.training.scenes.captions import full_caption, vocabulary
from engine.training.scenes.labels import labels_of
from engine.training.scenes.render import render
from engine.training.scenes.spec import Scene, Side, draw_scenes
from engine.training.scenes.subjects import FLYING

EMBEDDED = Path(__file__).parents[3] / "engine" / "embedded"
MODEL = EMBEDDED / "fourfold-mini"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(str(MODEL), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def renders() -> tuple[list[Scene], npt.NDArray[np.uint8]]:
    """Held-out scenes of one to three figures, drawn from seeds that nothing was trained on."""
    scenes = draw_scenes(128, 9, Side.HELD_OUT, flying=FLYING)
    return scenes, np.stack([render(scene, 70_000 + i) for i, scene in enumerate(scenes)])


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_weights_are_small() -> None:
    assert size_of(MODEL) <= 32 * MEGABYTE
    assert size_of(EMBEDDED / "probe") <= 2 * MEGABYTE
    assert size_of(EMBEDDED / "clip") <= 10 * MEGABYTE
    weights = list(EMBEDDED.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in weights) <= 64 * MEGABYTE
    assert max(file.stat().st_size for file in weights) <= 40 * MEGABYTE


def test_facts_fit_the_model() -> None:
    facts = json.loads((MODEL / "fourfold.json").read_text(encoding="utf-8"))
    assert facts["defaults"]["sampler"] in UNET_SAMPLERS
    assert facts["vocabulary"] == list(vocabulary())
    assert facts["native_size"] == 512


def test_stock_pipeline_makes_a_picture(pipe: StableDiffusionPipeline) -> None:
    output = pipe(
        "a red sailboat on a calm sea at sunset, watercolor", num_inference_steps=2, output_type="np"
    )
    assert output.images.shape == (1, 128, 128, 3)


async def test_a_few_steps_draw_what_is_asked_for() -> None:
    """By the adapter that `--draft` takes; how well, over many captions, is in the card."""
    scenes, numbers = draw_scenes(8, 9, Side.HELD_OUT, shares=(1, 0, 0)), np.random.default_rng(0)
    async with artist(MODEL.name, Sampling(few_steps=True)) as painter:
        assert (painter.params.num_inference_steps, painter.params.guidance_scale) == (4, 1.0)
        made = await painter.draw([full_caption(scene, numbers) for scene in scenes], range(8))
    pixels = np.stack([shrunk(picture, 128) for picture in made])
    found = scores(predict(Probe.load(EMBEDDED / "probe"), pixels, Compute.of(CPU)), labels_of(scenes))
    assert min(found["subject"], found["colour"]) >= 7 / 8, found


def test_probe_reads_real_renders() -> None:
    """Of one subject; what it makes of two and three is in its card."""
    scenes = draw_scenes(240, 9, Side.HELD_OUT, shares=(1, 0, 0))
    pixels = np.stack([render(scene, 60_000 + i) for i, scene in enumerate(scenes)])
    found = scores(predict(Probe.load(EMBEDDED / "probe"), pixels, Compute.of(CPU)), labels_of(scenes))
    assert min(found[name] for name in ATTRIBUTES) >= 0.95, found


def test_clip_finds_the_caption_of_a_picture(renders: tuple[list[Scene], npt.NDArray[np.uint8]]) -> None:
    scenes, pixels = renders
    compute, numbers = Compute.of(CPU), np.random.default_rng(0)
    model = CLIPModel.from_pretrained(str(EMBEDDED / "clip"), local_files_only=True).eval()
    captions = [full_caption(scene, numbers) for scene in scenes]
    told = embed_texts(model, CLIPTokenizer.from_pretrained(str(EMBEDDED / "clip")), captions, compute)
    found = retrieval(embed_pictures(model, pixels, compute), told, 64)
    assert min(found.values()) >= 0.95, found


async def test_clip_describes_a_picture_in_the_engine(tmp_path: Path) -> None:
    scene = Scene.of("robot", "yellow", "city", "night", "comic", "rain")
    Image.fromarray(render(scene, 5)).save(tmp_path / "robot.png")
    picture, seeds = tmp_path / "robot.png", (1, 2, 3, 4)
    async with launch_engine(EngineConfig()) as engine:
        request = DescribeRequest(request_id="robot", model="clip", image=picture, seeds=seeds)
        said = [update.text async for update in engine.submit(request) if isinstance(update, TextReady)]
    assert len(said) == 4
    assert all("yellow robot" in text for text in said), said


def test_a_model_is_measured_from_its_weights_alone(tmp_path: Path) -> None:
    """Two steps are too few for any gate, and enough to see every figure measured."""
    asked = ["evaluate", "--home", str(tmp_path), "--captions", "4", "--steps", "2", "--wide", "2"]
    assert main(asked) == 1
    reports = tmp_path / "cpu" / "reports"
    report = json.loads((reports / "evaluate-fourfold-mini.json").read_text(encoding="utf-8"))
    assert report["num_inference_steps"] == 2
    assert set(report["groups"]) == {"one", "two", "three", "unseen"}
    for group in report["groups"].values():
        assert group["pictures"] == 4
        assert group["real"]["time"] >= 0.75
    assert report["frechet_distance"]["generated"] > report["frechet_distance"]["other_real"]
    for name in ("diversity", "sharpness"):
        assert report[name]["generated"] > 0 < report[name]["real"]
    assert report["seconds_per_grid"] > 0
    missed = {name for name, group in report["groups"].items() if group["missed_captions"]}
    assert missed
    sheets = {f"evaluate-fourfold-mini-{name}" for name in report["groups"]}
    sheets |= {f"evaluate-fourfold-mini-{name}-missed" for name in missed}
    assert {file.stem for file in reports.glob("*.png")} == sheets
