"""The command: `python -m engine.training STAGE`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import platformdirs

from engine.training.profile import PROFILES
from engine.training.recipe import GateMissedError, Recipe


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.training", description="Make and measure the embedded model."
    )
    parser.add_argument("stage", choices=("pictures", "probe", "vae"))
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--home", type=Path, default=platformdirs.user_data_path("fourfold") / "training")
    parser.add_argument(
        "--minutes", type=float, help="break the stage off after this long; the next call goes on"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    recipe = Recipe(PROFILES[options.profile], options.home, options.seed)
    try:
        if options.stage == "probe":
            recipe.probe(options.minutes)
        elif options.stage == "vae":
            recipe.autoencoder(options.minutes)
    except GateMissedError as missed:
        sys.stderr.write(f"{missed}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
