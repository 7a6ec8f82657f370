"""/show: a finished job's message again, with fresh buttons."""

from __future__ import annotations

import logging
from uuid import UUID

import discord

from bot.domain import Job, JobState
from bot.errors import UserError
from bot.services import JobService
from bot.views.interactions import Interaction, asker_of, in_time, services_of
from bot.views.job_text import result_text
from bot.views.panels import result_buttons
from bot.views.result import SMALLEST_FILE, ResultFile, is_too_large, result_file

log = logging.getLogger(__name__)


async def repost(interaction: Interaction, job_id: UUID) -> None:
    """Answer with the job's pictures; the newest message is the one that links lead to from now on.

    Raises:
        UserError: no such job, not the asker's, without pictures yet, or with pictures that cannot be read.
    """
    jobs, limit = services_of(interaction).jobs, interaction.filesize_limit
    job, file = await in_time(interaction, _own_result(interaction, jobs, job_id, limit), ephemeral=False)
    while True:
        try:
            message_id = await _answer(interaction, job, file)
            break
        except discord.HTTPException as error:
            limit = min(limit, len(file.encoded.data)) // 2
            if not is_too_large(error) or limit < SMALLEST_FILE:
                raise
        if not interaction.response.is_done():
            # The refused upload took its share of the three seconds.
            await interaction.response.defer(thinking=True)
        file = await _file(jobs, job, limit)
    await jobs.reposted(job.id, channel_id=interaction.channel_id or 0, message_id=message_id)


async def _answer(interaction: Interaction, job: Job, file: ResultFile) -> int:
    """Returns the message's id, which the answer to the answer carries."""
    content, view = result_text(job), result_buttons(job)
    if interaction.response.is_done():
        sent = await interaction.edit_original_response(
            content=content, attachments=[file.upload()], view=view
        )
        return sent.id
    answer = await interaction.response.send_message(
        content, file=file.upload(), view=view, suppress_embeds=True
    )
    return answer.message_id or (await interaction.original_response()).id


async def _own_result(
    interaction: Interaction, jobs: JobService, job_id: UUID, limit_bytes: int
) -> tuple[Job, ResultFile]:
    job = await jobs.get(job_id)
    asker = asker_of(interaction)
    if job.owner_id != asker.user_id:
        raise UserError("not_yours")
    if job.state is not JobState.DONE or not job.images:
        raise UserError("not_finished")
    return job, await _file(jobs, job, limit_bytes)


async def _file(jobs: JobService, job: Job, limit_bytes: int) -> ResultFile:
    try:
        return await result_file(jobs, job, limit_bytes)
    except OSError as error:
        log.error("job %s: its pictures cannot be read: %s", job.id, error)
        raise UserError("pictures_lost") from error
