"""The command: `python -m engine.training STAGE`, in the order in which a model is made."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import sys
from pathlib import Path

import platformdirs

from engine.catalog.location import EMBEDDED_DIR
from engine.config import EMBEDDED_CLIP, EMBEDDED_MODEL
from engine.training.cascade import Cascade
from engine.training.compute import DeviceMissingError
from engine.training.drawing import Pixels, Sampling, artist
from engine.training.evaluate import Judges, evaluate
from engine.training.pipeline import SAMPLE_PROMPTS
from engine.training.profile import CPU, PROFILES
from engine.training.recipe import GateMissedError, Recipe
from engine.training.scenes.render import render
from engine.training.scenes.spec import Side, draw_scenes
from engine.training.scenes.subjects import FLYING
from engine.training.sheets import save_sheet

# What measuring chose; `evaluate --sampler … --steps … --guidance …` measures another choice.
SHIPPED = Sampling("ddim", 30, 3.0)

STAGES = {
    "pictures": "render the training and test pictures",
    "probe": "train the attribute probe; gate (a)",
    "clip": "train CLIP; its gate is retrieval among 64",
    "vae": "train the autoencoder; gate (b)",
    "unet": "train the UNet, and CLIP's text tower with it",
    "upscaler": "train the network that enlarges four times; its gate is PSNR beside Lanczos",
    "prior": "train unCLIP's prior over image embeddings",
    "decoder": "train unCLIP's decoder",
    "polish": "tune the decoder to the denoiser's latents; gate (b) again",
    "few-steps": "distil the denoiser into an adapter for four steps",
    "export": "write what is trained in the formats that ship",
    "evaluate": "measure a model folder; gate (c)",
    "sheet": "write a sheet of generated pictures, or of real ones with --real",
    "all": "everything above, in order",
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    profile = PROFILES[options.profile]
    if options.train_steps is not None:
        profile = dataclasses.replace(profile, unet_steps=options.train_steps)
    if options.compile:
        profile = dataclasses.replace(profile, compile=True)
    recipe = Recipe(profile, options.home, options.seed)
    stages = list(STAGES)[:-2] if options.stage == "all" else [options.stage]
    try:
        if stages != ["pictures"] and not options.real:
            _ = recipe.compute  # A missing device is told of now, and not after an hour of rendering.
        for stage in stages:
            if not _run(stage, recipe, options):
                return 1
    except (DeviceMissingError, GateMissedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.training",
        description="Make and measure the model that ships with Fourfold.",
        epilog="\n".join(f"{name:10} {text}" for name, text in STAGES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=tuple(STAGES))
    parser.add_argument("--profile", choices=sorted(PROFILES), default=CPU.name)
    # As the bot's own settings have it, which a package below the bot cannot ask.
    home = Path(
        os.environ.get("FOURFOLD_HOME") or platformdirs.user_data_dir("fourfold", appauthor=False)
    ).expanduser()
    home = home / "training"
    parser.add_argument(
        "--home", type=Path, default=home, help=f"pictures, checkpoints, reports (default {home})"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compile", action="store_true", help="compile the networks with torch.compile (needs its compiler)"
    )
    parser.add_argument(
        "--minutes", type=float, help="break a stage off after this long; the next call goes on"
    )
    parser.add_argument(
        "--train-steps", type=int, help="length of the UNet's schedule instead of the profile's"
    )
    parser.add_argument(
        "--model",
        default=EMBEDDED_MODEL,
        help="what evaluate and sheet draw with: an embedded name or a folder (default: %(default)s)",
    )
    parser.add_argument(
        "--embedded",
        type=Path,
        default=EMBEDDED_DIR,
        help="where export writes, and where the probe and CLIP lie",
    )
    parser.add_argument(
        "--report",
        type=Path,
        help="where evaluate writes (default: <home>/<profile>/reports/evaluate-<model>.json)",
    )
    parser.add_argument("--captions", type=int, default=500, help="how many held-out captions evaluate draws")
    parser.add_argument(
        "--wide",
        type=int,
        default=24,
        help="how many of them evaluate draws in each of two sizes that are not square, where the model has such",
    )
    parser.add_argument("--few-steps", action="store_true", help="draw with the model's few-step variant")
    parser.add_argument("--sampler", help="instead of the model's default")
    parser.add_argument("--steps", type=int, help="sampling steps instead of the model's default")
    parser.add_argument("--guidance", type=float, help="guidance scale instead of the model's default")
    parser.add_argument("--prompt", action="append", help="for sheet; may be given several times")
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="for sheet")
    parser.add_argument("--real", action="store_true", help="for sheet: renders of held-out scenes")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="for sheet")
    return parser


def _run(stage: str, recipe: Recipe, options: argparse.Namespace) -> bool:
    if stage == "pictures":
        recipe.probe_sets()
        recipe.test_set()
        recipe.train_sets()
    elif stage == "probe":
        return recipe.probe(options.minutes)
    elif stage == "clip":
        return recipe.contrastive(options.minutes)
    elif stage == "vae":
        return recipe.autoencoder(options.minutes)
    elif stage == "unet":
        return recipe.denoiser(options.minutes)
    elif stage in ("upscaler", "prior", "decoder"):
        return bool(getattr(Cascade(recipe), stage)(options.minutes))
    elif stage == "polish":
        return recipe.polish(options.minutes)
    elif stage == "few-steps":
        return recipe.few_steps(options.minutes)
    elif stage == "export":
        sampling = _sampling(SHIPPED, options)
        exported = recipe.export(options.embedded, sampling)
        for name in [*exported, *Cascade(recipe).export(options.embedded, sampling)]:
            logging.getLogger(__name__).info("exported %s to %s", name, options.embedded)
    elif stage == "evaluate":
        name = Path(options.model).name + ("-few-steps" if options.few_steps else "")
        report = options.report or recipe.reports / f"evaluate-{name}.json"
        judges = Judges.load(options.embedded / "probe", options.embedded / EMBEDDED_CLIP, recipe.compute)
        return evaluate(
            options.model,
            judges,
            report,
            captions=options.captions,
            sampling=_sampling(Sampling(), options),
            wide=options.wide,
        )
    elif stage == "sheet":
        _sheet(options, recipe)
    return True


def _sampling(base: Sampling, options: argparse.Namespace) -> Sampling:
    """What the command asks for; the rest is as `base` has it."""
    return Sampling(
        options.sampler or base.sampler,
        options.steps or base.num_inference_steps,
        base.guidance_scale if options.guidance is None else options.guidance,
        few_steps=options.few_steps,
    )


def _sheet(options: argparse.Namespace, recipe: Recipe) -> None:
    size = tuple(options.size) if options.size else None
    if options.real:
        width, height = size or (128, 128)
        scenes = draw_scenes(64, options.seed, Side.HELD_OUT, flying=FLYING)
        save_sheet([render(scene, i, width, height) for i, scene in enumerate(scenes)], 8, options.out)
        return
    prompts = [prompt for prompt in options.prompt or SAMPLE_PROMPTS for _ in range(4)]
    seeds = [options.seed * 1_000 + i for i in range(len(prompts))]

    async def draw() -> list[Pixels]:
        async with artist(options.model, _sampling(Sampling(), options)) as painter:
            return await painter.draw(prompts, seeds, size)

    save_sheet(asyncio.run(draw()), 8, options.out)


if __name__ == "__main__":
    raise SystemExit(main())
