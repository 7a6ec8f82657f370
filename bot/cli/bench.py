"""`fourfold bench`: the engine beside plain diffusers pipelines, with a bot running on it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bot.app import serve_on_discord
from bot.cli.engine_config import engine_config
from bot.client import use_origin
from bot.database import open_database
from bot.errors import StartupError
from bot.image_store import ImageStore
from bot.playground import Playground
from bot.services import Limits, make_services
from bot.settings import Settings
from engine import Engine, EngineError


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the table; write bench.json and bench.png. Nothing of FOURFOLD_HOME is touched."""
    # Imported here because it imports torch, which `fourfold --help` does not wait for.
    from engine.benchmark.bench import bench
    from engine.benchmark.report import as_json, as_table, draw_plot

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("engine.benchmark").setLevel(logging.INFO)
    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
    beside = None if arguments.alone else _bot_beside
    try:
        report = asyncio.run(bench(engine_config(settings), jobs=arguments.jobs, beside=beside))
    except EngineError as error:
        raise StartupError(str(error)) from error
    (folder / "bench.json").write_text(as_json(report), encoding="utf-8")
    draw_plot(report, folder / "bench.png")
    print(as_table(report))
    return 0


@asynccontextmanager
async def _bot_beside(engine: Engine) -> AsyncIterator[Callable[[], int]]:
    """A whole bot on the engine, in a stand-in for Discord of its own; yields the count of its late heartbeats."""
    with tempfile.TemporaryDirectory() as home:
        image_store = ImageStore(Path(home) / "pictures")
        async with (
            Playground(home=None) as playground,
            open_database(Path(home) / "fourfold.db", image_store.path) as database,
        ):
            use_origin(playground.origin, allow_remote=False)
            services = make_services(
                engine=engine, database=database, image_store=image_store, limits=Limits()
            )
            online = asyncio.Event()
            serving = asyncio.create_task(serve_on_discord(services, playground.bot_token, online.set))
            waiting = asyncio.create_task(online.wait())
            try:
                await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()
                yield lambda: playground.late_heartbeats
            finally:
                waiting.cancel()
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving
