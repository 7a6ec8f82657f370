"""The composition root: joins settings, database, engine, services and the Discord client, and holds them open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bot.client import FourfoldClient, use_origin
from bot.database import open_database
from bot.delivery import Delivery, Remarks
from bot.downloads import Downloads
from bot.errors import StartupError
from bot.image_store import ImageStore
from bot.services import Limits, Services, make_services
from bot.settings import Settings
from engine import EngineConfig, EngineError
from engine.launch import launch_engine

log = logging.getLogger(__name__)

LOCK_NAME = "fourfold.lock"


@contextmanager
def own_folder(home: Path) -> Iterator[None]:
    """Hold a data folder for this process alone; the lock dies with the process, however that dies.

    Raises:
        StartupError: another process holds it, or it cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise StartupError(
            f"Another Fourfold is running with the folder {home}. Stop it, or set FOURFOLD_HOME to a folder of its own."
        ) from error
    except OSError as error:
        raise StartupError(
            f"The folder {home} cannot be used ({error.strerror or error}). Set FOURFOLD_HOME to one that you may write."
        ) from error
    try:
        yield
    finally:
        lock.release()


async def serve(
    settings: Settings, engine_config: EngineConfig, *, online: Callable[[], None] = lambda: None
) -> None:
    """Run the bot until it is cancelled; the caller owns the data folder. `online` is called once commands are accepted.

    The order is the one that loses nothing: migrate → engine → login → deliver what was finished but not posted →
    re-submit what was not finished → accept commands.

    Raises:
        StartupError: something that only a person can put right, in one sentence.
    """
    assert settings.discord_token is not None, "the command line checks it first"
    if settings.discord_api is not None:
        use_origin(settings.discord_api, allow_remote=settings.discord_api_allow_remote)
    image_store = ImageStore(settings.pictures_path)
    limits = Limits(
        max_running_per_user=settings.max_running_per_user,
        max_waiting_per_user=settings.max_waiting_per_user,
        max_waiting=settings.max_waiting,
    )
    try:
        async with (
            open_database(settings.database_path, image_store.path) as database,
            launch_engine(engine_config) as engine,
        ):
            services = make_services(
                engine=engine,
                database=database,
                image_store=image_store,
                limits=limits,
                downloads=Downloads(settings.discord_api),
            )
            await serve_on_discord(services, settings.discord_token.get_secret_value(), online)
    except EngineError as error:
        raise StartupError(str(error)) from error


async def serve_on_discord(services: Services, token: str, online: Callable[[], None]) -> None:
    """Deliver and answer until cancelled, then end both in order. Raises StartupError as `serve` does."""
    async with FourfoldClient(services, online=online) as client:
        delivery = Delivery(client, services)
        delivering = asyncio.create_task(delivery.run(), name="delivery")
        remarking = asyncio.create_task(Remarks(client, services).run(), name="remarks")

        async def before_commands() -> None:
            await delivery.reconcile()
            resumed = await services.jobs.resume()
            if resumed:
                log.info("%d unfinished jobs go on", resumed)
            services.embeddings.start()

        try:
            await client.serve(token, before_commands)
        finally:
            await services.embeddings.close()
            remarking.cancel()
            # Ends the updates, so that delivery finishes the posts it has begun while the client is still open.
            await services.jobs.close()
            with suppress(asyncio.CancelledError):
                await delivering
