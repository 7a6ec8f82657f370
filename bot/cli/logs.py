"""Where log lines go: stderr, and a rotating file under FOURFOLD_HOME."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler

from bot.errors import StartupError
from bot.settings import Settings

LIBRARY_LEVELS = {
    # DEBUG lines of discord.py carry interaction tokens, which are secrets.
    **dict.fromkeys(
        ("discord", "aiohttp", "httpx", "httpcore", "urllib3", "filelock", "asyncio", "PIL"), logging.INFO
    ),
    # These tell every statement and, at DEBUG, its values, among them the same tokens.
    **dict.fromkeys(("aiosqlite", "sqlalchemy", "alembic", "aiohttp.access"), logging.WARNING),
}
"""The lowest level of each library's lines that is written, whatever FOURFOLD_LOG_LEVEL says."""


def configure_logging(settings: Settings, *, terminal: bool = True) -> None:
    """Set up the root logger.

    Raises:
        StartupError: the folder cannot be written.
    """
    level = logging.getLevelNamesMapping()[settings.log_level]
    folder = settings.home / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(
            folder / "fourfold.log", maxBytes=5_000_000, backupCount=3, encoding="utf-8", delay=True
        )
    except OSError as error:
        raise StartupError(
            f"The folder {folder} cannot be made ({error.strerror or error}). Set FOURFOLD_HOME to a folder you may write."
        ) from error
    handlers: list[logging.Handler] = [file]
    if terminal:
        handlers.append(logging.StreamHandler())
    formatter = logging.Formatter("{asctime} {levelname:<7} {name}: {message}", style="{")
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=handlers, force=True)
    for name, lowest in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(level, lowest))
