"""What is only known once the pictures stand: a quiet edit of their message says that they look like others."""

from __future__ import annotations

import logging
from uuid import UUID

import discord

from bot.domain import Job
from bot.errors import UserError
from bot.services import Services
from bot.views.history_page import link_to
from bot.views.interactions import UNREACHABLE
from bot.views.job_text import result_text

log = logging.getLogger(__name__)


class Remarks:
    """Edits are best effort: what cannot be said is in the row, and `/show` says it with the pictures."""

    def __init__(self, client: discord.Client, services: Services) -> None:
        self._client = client
        self._services = services

    async def run(self) -> None:
        """Until cancelled."""
        async for job_id in self._services.likeness.found():
            try:
                await self._remark(await self._services.jobs.get(job_id))
            except UserError:
                log.info("job %s was deleted before its likeness could be said", job_id)
            except UNREACHABLE as error:
                log.info("job %s: its likeness could not be said: %s", job_id, error)
            except Exception:  # a mistake in the program must cost a remark only
                log.exception("job %s: its likeness could not be said", job_id)

    async def _remark(self, job: Job) -> None:
        if job.likeness is None or job.result_channel_id is None or job.result_message_id is None:
            return
        link = None
        if job.likeness.earlier_job is not None:
            link = link_to(self._client, await self._services.jobs.get(UUID(job.likeness.earlier_job)))
        direct = job.result_channel_id != job.destination.channel_id
        channel = self._client.get_partial_messageable(job.result_channel_id)
        await channel.get_partial_message(job.result_message_id).edit(
            content=result_text(job, by_direct_message=direct, earlier=link),
            allowed_mentions=discord.AllowedMentions.none(),
        )
