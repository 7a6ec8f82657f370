"""No secret reaches the log, at any level."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.cli.logs import configure_logging
from bot.database import JobRepository, open_database
from bot.domain import Destination
from bot.image_store import ImageStore
from bot.settings import Settings
from tests.bot.examples import JOB

SECRET = "interaction-token-that-nobody-may-read"


async def test_a_token_is_not_logged_even_at_debug(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging(Settings(home=tmp_path, log_level="DEBUG"), terminal=False)
        logging.getLogger("bot").debug("a line")
        async with open_database(
            tmp_path / "fourfold.db", ImageStore(tmp_path / "pictures").path
        ) as database:
            jobs = JobRepository(database)
            await jobs.add(JOB)
            now = datetime.now(UTC)
            destination = Destination(
                channel_id=1, message_id=2, token=SECRET, expires_at=now + timedelta(minutes=15)
            )
            await jobs.set_destination(JOB.id, destination, now)
        written = (tmp_path / "logs" / "fourfold.log").read_text(encoding="utf-8")
    finally:
        root.handlers[:], root.level = before[0], before[1]
    assert "a line" in written
    assert SECRET not in written
