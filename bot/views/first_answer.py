"""The first three seconds of a command or button that starts a job.

Pure checks and one short insert, then ONE answer, and only then the engine: a job that nobody was told about
never runs, and one that was accepted always ends in a message.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import discord

from bot.domain import Asker, Destination, Job, JobState
from bot.views.interactions import UNREACHABLE, Interaction, asker_of, in_time, services_of
from bot.views.job_text import waiting_text
from bot.views.panels import unfinished_buttons

log = logging.getLogger(__name__)

ALREADY_ACKNOWLEDGED = 40060


async def start_job(interaction: Interaction, ask: Callable[[Asker, str], Awaitable[Job]]) -> None:
    """Ask for a job, show it, and let it run.

    Args:
        ask: makes the job for an asker and a source; it raises UserError when nothing was accepted.
    """
    jobs = services_of(interaction).jobs
    job = await in_time(interaction, ask(asker_of(interaction), f"{interaction.id}:0"), ephemeral=False)
    if job.destination.message_id is None and job.state is JobState.WAITING:
        await jobs.shown(job.id, await _show(interaction, job))
    else:
        # The gateway replayed an interaction that was answered before; the job is on its way already.
        log.info("interaction %s came again; job %s is under way", interaction.id, job.id)


async def _show(interaction: Interaction, job: Job) -> Destination:
    try:
        message_id = await _answer(interaction, job)
    except UNREACHABLE as error:
        return await _show_without_interaction(interaction, job, error)
    return Destination(
        channel_id=job.destination.channel_id,
        message_id=message_id,
        token=interaction.token,
        expires_at=interaction.expires_at,
    )


async def _answer(interaction: Interaction, job: Job) -> int:
    """Returns the message's id, which the answer to the answer carries."""
    content, view = waiting_text(job), unfinished_buttons(job)
    if interaction.response.is_done():
        return (await interaction.edit_original_response(content=content, view=view)).id
    try:
        answer = await interaction.response.send_message(content, view=view, suppress_embeds=True)
    except UNREACHABLE as error:
        if (
            isinstance(error, discord.HTTPException)
            and error.status < 500
            and error.code != ALREADY_ACKNOWLEDGED
        ):
            raise
        # The event came twice, or the reply to our answer was lost: most likely the message is there.
        return (await interaction.edit_original_response(content=content, view=view)).id
    return answer.message_id or (await interaction.original_response()).id


async def _show_without_interaction(interaction: Interaction, job: Job, error: Exception) -> Destination:
    """The interaction died after the job was accepted, so the job is shown in a post of the bot's own."""
    log.info("job %s: its interaction could not be answered (%s); going on without it", job.id, error)
    channel_id = job.destination.channel_id
    channel = interaction.client.get_partial_messageable(channel_id)
    try:
        message = await channel.send(waiting_text(job), view=unfinished_buttons(job), suppress_embeds=True)
    except UNREACHABLE as refusal:
        # Delivery looks for another place once there are pictures.
        log.info("job %s: no progress message in channel %s: %s", job.id, channel_id, refusal)
        return Destination(channel_id=channel_id)
    return Destination(channel_id=channel_id, message_id=message.id)
