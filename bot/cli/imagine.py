"""`fourfold imagine`: one job in the terminal, through the bot's own parser, planner, engine and rendering."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tqdm import tqdm

from bot.cli.engine_config import engine_config
from bot.domain import Action, Destination, Job, JobState
from bot.errors import StartupError, UserError
from bot.prompting import (
    DEFAULT_PICTURES,
    Prompt,
    asked_size,
    chosen_model,
    generation_text,
    parse,
    picture_seeds,
    plan,
    sampling_for,
    unheeded,
)
from bot.rendering import ENCODERS, compose_grid, encode_as, encode_png
from bot.settings import Settings
from bot.texts import say
from engine import (
    EngineError,
    FinishReason,
    GenerateRequest,
    ImageReady,
    Loading,
    ModelInfo,
    Progress,
    RequestOutput,
)
from engine.launch import launch_engine
from engine.request import MAX_SEED

MAX_WORDS = 10
"""Of those that were left out, that are named."""


@dataclass
class _Made:
    """What came out of the engine."""

    pictures: dict[int, ImageReady] = field(default_factory=dict)
    output: RequestOutput | None = None


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make one grid and write it; nothing else is kept. A wrong prompt costs no model loading."""
    target = Path(arguments.output)
    if target.suffix.lower() not in ENCODERS:
        raise StartupError(f"{target} has no ending that can be written; use one of {', '.join(ENCODERS)}.")
    if not target.parent.is_dir():
        raise StartupError(
            f"The folder {target.parent} does not exist. Make it first, or write elsewhere with -o."
        )
    _check_writable(target)
    try:
        prompt = parse(_whole_prompt(arguments.prompt, arguments.rest))
    except UserError as error:
        raise StartupError(say(f"error.{error.code}", **error.values)) from error
    try:
        asyncio.run(_imagine(prompt, target, settings, as_json=arguments.json))
    except EngineError as error:
        raise StartupError(str(error)) from error
    return 0


def _check_writable(target: Path) -> None:
    """Ask the file system itself, before anything is drawn; a file that was not there is not there afterwards."""
    existed = target.exists()
    try:
        target.open("ab").close()
        if not existed:
            target.unlink()
    except OSError as error:
        raise StartupError(
            f"{target} cannot be written: {error.strerror or error}. Choose another file with -o."
        ) from error


def _whole_prompt(prompt: str, rest: Sequence[str]) -> str:
    """Parameters given after the prompt (`--seed 3 --no "a, b"`) belong to it."""
    return " ".join([prompt, *rest])


async def _imagine(prompt: Prompt, target: Path, settings: Settings, *, as_json: bool) -> None:
    started = time.perf_counter()
    async with launch_engine(engine_config(settings)) as engine:
        try:
            model, parameters = chosen_model(prompt.parameters, engine.models())
        except UserError as error:
            raise StartupError(say(f"error.{error.code}", **error.values)) from error
        prompt = replace(prompt, parameters=parameters)
        seed = prompt.parameters.seed
        job = Job(
            id=uuid4(),
            action=Action.IMAGINE,
            state=JobState.WAITING,
            owner_id=0,
            owner_name="",
            guild_id=None,
            source="terminal",
            prompt=prompt.text,
            parameters=prompt.parameters,
            model=model.name,
            sampling=sampling_for(prompt.parameters, model),
            seeds=picture_seeds(
                secrets.randbelow(MAX_SEED + 1) if seed is None else seed,
                prompt.parameters.n or DEFAULT_PICTURES,
            ),
            destination=Destination(channel_id=0),
            created_at=datetime.now(UTC),
        )
        request = plan(job, model, None)
        made = _Made()
        with tqdm(
            total=100, unit="%", file=sys.stderr, bar_format="{desc}{percentage:3.0f}% |{bar}| {elapsed}"
        ) as bar:
            async for update in engine.submit(request):
                match update:
                    case Loading():
                        bar.set_description(f"loading {update.model} ", refresh=True)
                    case Progress():
                        bar.set_description("drawing ")
                        bar.update(100 * update.step / update.steps - bar.n)
                    case ImageReady():
                        made.pictures[update.index] = update
                    case RequestOutput():
                        made.output = update
    assert made.output is not None, "every stream ends with its RequestOutput"
    if made.output.error is not None:
        raise made.output.error
    if made.output.finish_reason is not FinishReason.COMPLETED:
        raise StartupError("The job was stopped before its pictures were finished.")
    _write_grid(made, request, model, target)
    if as_json:
        print(
            json.dumps(
                _report(made.output, request, model, target, time.perf_counter() - started),
                ensure_ascii=False,
            )
        )
    else:
        print(f"{target}: seed {request.seeds[0]}, {time.perf_counter() - started:.1f} s")
        height, width = made.pictures[0].pixels.shape[:2]
        asked = asked_size(job, width, height)
        if asked is not None:
            print(f"Rounded to {width} × {height} px, the nearest to {asked} that this model draws.")
        for parameter in unheeded(job):
            print(f"This model cannot heed {parameter}; the picture was made without it.")
        if made.output.unknown_words:
            print(f"Words this model does not know: {_some(made.output.unknown_words)}.")
        if made.output.unread_words:
            print(f"Words past the end of what this model reads: {_some(made.output.unread_words)}.")


def _some(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(words) - MAX_WORDS
    return ", ".join(words[:MAX_WORDS]) + (f" and {more} more" if more > 0 else "")


def _write_grid(made: _Made, request: GenerateRequest, model: ModelInfo, target: Path) -> None:
    text = generation_text(
        request.prompt, request.params, seed=request.seeds[0], model=model.name, model_hash=model.hash
    )
    with tempfile.TemporaryDirectory() as folder:
        cells = []
        for index, ready in sorted(made.pictures.items()):
            cells.append(Path(folder) / f"{index}.png")
            cells[-1].write_bytes(encode_png(ready.pixels, text))
        grid = compose_grid(cells)
    try:
        target.write_bytes(encode_as(grid, text, target.suffix.lower()))
    except OSError as error:
        raise StartupError(f"{target} cannot be written: {error.strerror or error}.") from error


def _report(
    output: RequestOutput, request: GenerateRequest, model: ModelInfo, target: Path, seconds: float
) -> dict[str, object]:
    return {
        "file": str(target),
        "prompt": request.prompt,
        "model": model.name,
        "seeds": request.seeds,
        **asdict(request.params),
        "seconds": round(seconds, 3),
        "device_seconds": round(output.device_seconds, 3),
        "unread_words": output.unread_words,
        "unknown_words": output.unknown_words,
    }
