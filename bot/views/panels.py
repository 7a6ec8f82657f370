"""Which buttons stand below which message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import discord

from bot.domain import Action, Job
from bot.texts import say
from bot.views.button_id import button_id

SECONDARY = discord.ButtonStyle.secondary
PRIMARY = discord.ButtonStyle.primary


def unfinished_buttons(job: Job) -> discord.ui.View:
    """Below a job that waits or runs."""
    return _view([_button("c", job.id, label=say("message.button_cancel", job.locale))])


def failed_buttons(job: Job) -> discord.ui.View:
    """Below a job that failed."""
    return _view([_button("t", job.id, label=say("message.button_retry", job.locale), style=PRIMARY)])


def result_buttons(job: Job) -> discord.ui.View:
    """Below finished pictures: U1–U4 🔄 over V1–V4 🗑️ over ℹ️ ✏️ for a grid, one row for a picture that stands alone."""
    if job.action is Action.UPSCALE:
        return _view(
            [
                _button("v", job.id, label=say("message.button_vary", job.locale), emoji="🪄"),
                _remix_button(job),
                _button("r", job.id, emoji="🔄"),
                _button("s", job.id, label=say("message.button_details", job.locale), emoji="ℹ️"),
                _button("d", job.id, emoji="🗑️"),
            ]
        )
    if job.action is Action.DESCRIBE:
        return _view(
            [_button("p", job.id, number, label=f"{number + 1}") for number in range(len(job.texts))],
            [_button("r", job.id, emoji="🔄"), _button("d", job.id, emoji="🗑️")],
        )
    cells = range(len(job.images))
    return _view(
        [
            *(_button("u", job.id, cell, label=f"U{cell + 1}") for cell in cells),
            _button("r", job.id, emoji="🔄"),
        ],
        [
            *(_button("v", job.id, cell, label=f"V{cell + 1}") for cell in cells),
            _button("d", job.id, emoji="🗑️"),
        ],
        [
            _button("s", job.id, label=say("message.button_details", job.locale), emoji="ℹ️"),
            _remix_button(job),
        ],
    )


def history_buttons(oldest: UUID, locale: str, *, first: bool, more: bool) -> discord.ui.View:
    """Below a page of /history; `oldest` is the last job on it."""
    row = []
    if more:
        row.append(_button("h", oldest, 0, label=say("message.button_older", locale)))
    if not first:
        row.append(_button("h", oldest, 1, label=say("message.button_newest", locale)))
    return _view(row)


def looks_buttons(search_id: UUID, locale: str, *, number: int, more: bool) -> discord.ui.View:
    """Below page `number` of a search; 0 is the first."""
    row = []
    if more:
        row.append(_button("l", search_id, number + 1, label=say("message.button_next", locale)))
    if number:
        row.append(_button("l", search_id, 0, label=say("message.button_best", locale)))
    return _view(row)


def _remix_button(job: Job) -> discord.ui.Button[Any]:
    return _button("m", job.id, label=say("message.button_remix", job.locale), emoji="✏️")


def _button(
    action: str,
    job_id: UUID,
    cell: int = 0,
    *,
    label: str | None = None,
    emoji: str | None = None,
    style: discord.ButtonStyle = SECONDARY,
) -> discord.ui.Button[Any]:
    return discord.ui.Button(label=label, emoji=emoji, style=style, custom_id=button_id(action, job_id, cell))


def _view(*rows: list[discord.ui.Button[Any]]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for number, row in enumerate(rows):
        for button in row:
            button.row = number
            view.add_item(button)
    # A stopped view is sent like any other but never kept in memory: clicks reach JobButton by its template.
    view.stop()
    return view
