"""What each button does: one service call and its answer. The keys stand in custom_ids for ever."""

from __future__ import annotations

import io
import logging
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

import discord

from bot.domain import Action, Asker, Job, Order
from bot.errors import UserError
from bot.prompting import SAMPLER_NAMES, model_label
from bot.texts import say
from bot.views.first_answer import start_job
from bot.views.history_page import turn_history_page
from bot.views.interactions import (
    UNREACHABLE,
    Interaction,
    acknowledge,
    asker_of,
    in_time,
    locale_of,
    services_of,
    tell,
)
from bot.views.job_text import named, shown
from bot.views.looks_page import turn_looks_page
from bot.views.remix import open_remix

log = logging.getLogger(__name__)

Click = Callable[[Interaction, UUID, int], Awaitable[None]]


def _order(action: Action) -> Click:
    """A click that asks for a new job of the one who clicked."""

    async def click(interaction: Interaction, job_id: UUID, cell: int) -> None:
        jobs = services_of(interaction).jobs
        index = None if action is Action.REROLL else cell
        await start_job(
            interaction,
            lambda asker, source: jobs.create(
                asker, Order(action=action, source=source, parent_id=job_id, index=index)
            ),
        )

    return click


async def _imagine_described(interaction: Interaction, job_id: UUID, number: int) -> None:
    """One of the prompts that were found for a picture, as the clicker's own /imagine."""
    jobs = services_of(interaction).jobs

    async def ask(asker: Asker, source: str) -> Job:
        described = await jobs.get(job_id)
        if number >= len(described.texts):
            raise UserError("button_unknown")
        order = Order(action=Action.IMAGINE, source=source, prompt=described.texts[number])
        return await jobs.create(asker, order)

    await start_job(interaction, ask)


async def _upscale(interaction: Interaction, job_id: UUID, cell: int) -> None:
    jobs = services_of(interaction).jobs

    async def ask(asker: Asker, source: str) -> Job:
        order = Order(action=Action.UPSCALE, source=source, parent_id=job_id, index=cell)
        while True:
            try:
                return await jobs.create(asker, order)
            except UserError as error:
                if error.code != "already_posted":
                    raise
                posted = await jobs.get(cast(UUID, error.values["job_id"]))
                if await _stands(interaction.client, posted):
                    raise
                await jobs.lost(posted)

    await start_job(interaction, ask)


async def _stands(client: discord.Client, posted: Job) -> bool:
    """Whether the message with a job's result is still there, as far as we may see."""
    if posted.result_channel_id is None or posted.result_message_id is None:
        return False
    try:
        await client.get_partial_messageable(posted.result_channel_id).fetch_message(posted.result_message_id)
    except discord.NotFound:
        return False
    except UNREACHABLE as error:
        log.info("job %s: its message cannot be looked at: %s", posted.id, error)
    return True


async def _retry(interaction: Interaction, job_id: UUID, _cell: int) -> None:
    jobs = services_of(interaction).jobs
    await start_job(interaction, lambda asker, source: jobs.retry(asker, job_id, source))


async def _cancel(interaction: Interaction, job_id: UUID, _cell: int) -> None:
    jobs = services_of(interaction).jobs
    await in_time(interaction, jobs.cancel(asker_of(interaction), job_id), ephemeral=True, thinking=False)
    await acknowledge(interaction)


async def _delete(interaction: Interaction, job_id: UUID, _cell: int) -> None:
    jobs = services_of(interaction).jobs
    job = await in_time(
        interaction, jobs.delete(asker_of(interaction), job_id), ephemeral=True, thinking=False
    )
    await acknowledge(interaction)
    messages = {(job.result_channel_id, job.result_message_id)}
    if interaction.message is not None:
        messages.add((interaction.message.channel.id, interaction.message.id))
    for channel_id, message_id in messages:
        if channel_id is not None and message_id is not None:
            channel = interaction.client.get_partial_messageable(channel_id)
            try:
                await channel.get_partial_message(message_id).delete()
            except discord.NotFound:
                pass  # Somebody was faster, which is what was wanted.
            except UNREACHABLE as error:
                log.info("job %s: its message %s could not be deleted: %s", job_id, message_id, error)


async def _details(interaction: Interaction, job_id: UUID, _cell: int) -> None:
    job = await in_time(interaction, services_of(interaction).jobs.get(job_id), ephemeral=True)
    sampling, locale = job.sampling, locale_of(interaction)
    whole = named(job, locale)
    short = shown(whole, room=1500)
    seconds = ""
    if job.device_seconds:
        seconds = say("message.details_seconds", locale, seconds=f"{job.device_seconds:.1f}")
    await tell(
        interaction,
        say(
            "message.details",
            locale,
            prompt=short,
            seed=job.images[0].seed if job.images else job.seeds[0],
            width=sampling.width,
            height=sampling.height,
            steps=sampling.num_inference_steps,
            guidance=f"{sampling.guidance_scale:g}",
            sampler=SAMPLER_NAMES.get(sampling.sampler, sampling.sampler),
            model=model_label(job.model),
            when=discord.utils.format_dt(job.created_at, "R"),
            seconds=seconds,
            job_id=job.id,
        ),
        # A message holds less than a prompt may have; the whole of it is here and in the PNG.
        discord.File(io.BytesIO(whole.encode()), "prompt.txt") if short.endswith("…") else None,
    )


CLICKS: dict[str, Click] = {
    "u": _upscale,
    "v": _order(Action.VARY),
    "m": open_remix,
    "r": _order(Action.REROLL),
    "s": _details,
    "p": _imagine_described,
    "t": _retry,
    "c": _cancel,
    "d": _delete,
    "h": turn_history_page,
    "l": turn_looks_page,
}
