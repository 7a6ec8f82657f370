"""Remix: a variation with other words, asked for in a form that opens with those the picture was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import discord

from bot.domain import Action, Job, Order
from bot.errors import UserError
from bot.texts import say
from bot.views.button_id import button_id
from bot.views.first_answer import start_job
from bot.views.interactions import Interaction, locale_of, services_of
from bot.views.job_text import typed

PROMPT, PICTURE, HOW = "prompt", "picture", "how"
MOVE, REDRAW = "move", "redraw"
INPUT_CHARACTERS = 4000
"""What Discord lets a text input hold."""


async def open_remix(interaction: Interaction, job_id: UUID, cell: int) -> None:
    """A click: the form, which has to be the first answer, so nothing slow stands before it."""
    jobs = services_of(interaction).jobs
    job = await jobs.get(job_id)
    if not job.images:
        raise UserError("not_finished")
    form = _form(job, cell, locale_of(interaction), moves=jobs.can_move(job))
    # A stopped form is sent like any other but never kept in memory: what comes back reaches forms.py by its id.
    form.stop()
    await interaction.response.send_modal(form)


async def submit_remix(interaction: Interaction, job_id: UUID, cell: int, answers: Mapping[str, str]) -> None:
    """The form came back: a new job of the one who sent it."""
    jobs, picture = services_of(interaction).jobs, answers.get(PICTURE, str(cell))
    if PROMPT not in answers or picture not in ("0", "1", "2", "3"):
        raise UserError("button_unknown")
    await start_job(
        interaction,
        lambda asker, source: jobs.create(
            asker,
            Order(
                action=Action.VARY,
                source=source,
                prompt=answers[PROMPT],
                parent_id=job_id,
                index=int(picture),
                text_difference=answers.get(HOW) == MOVE,
            ),
        ),
    )


def _form(job: Job, cell: int, locale: str, *, moves: bool) -> discord.ui.Modal:
    form = discord.ui.Modal(
        title=say("message.remix_title", locale), custom_id=button_id("m", job.id, cell), timeout=None
    )
    # A seed of its own would give the new picture the old one's noise.
    text = typed(replace(job, parameters=replace(job.parameters, seed=None)))
    prompt = discord.ui.TextInput[Any](
        custom_id=PROMPT,
        style=discord.TextStyle.paragraph,
        default=text[:INPUT_CHARACTERS],
        max_length=INPUT_CHARACTERS,
    )
    form.add_item(_labelled(say("message.remix_prompt", locale), prompt))
    if len(job.images) > 1:
        pictures = [
            discord.SelectOption(
                label=say("message.remix_cell", locale, number=image.index + 1),
                value=str(image.index),
                default=image.index == cell,
            )
            for image in job.images
        ]
        choice = discord.ui.Select[Any](custom_id=PICTURE, options=pictures)
        form.add_item(_labelled(say("message.remix_picture", locale), choice))
    if moves:
        move = discord.RadioGroupOption(
            label=say("message.remix_move", locale),
            description=say("message.remix_move_more", locale),
            value=MOVE,
            default=True,
        )
        redraw = discord.RadioGroupOption(
            label=say("message.remix_redraw", locale),
            description=say("message.remix_redraw_more", locale),
            value=REDRAW,
        )
        form.add_item(
            _labelled(
                say("message.remix_how", locale),
                discord.ui.RadioGroup[Any](custom_id=HOW, options=[move, redraw]),
            )
        )
    return form


def _labelled(text: str, component: discord.ui.Item[Any]) -> discord.ui.Label[Any]:
    return discord.ui.Label(text=text, component=component)
