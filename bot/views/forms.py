"""What each form does when it is sent back. No state: a form opened before a restart is answered after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from bot.errors import UserError
from bot.views.button_id import TEMPLATE
from bot.views.interactions import Interaction, tell_error
from bot.views.remix import PROMPT, submit_remix

Submission = Callable[[Interaction, UUID, int, Mapping[str, str]], Awaitable[None]]

FORMS: dict[str, Submission] = {"m": submit_remix}
"""By the action in a form's custom_id, which has the form of a button's."""


async def answer_form(interaction: Interaction) -> None:
    """Do what the form asks for; whatever goes wrong is answered to the one who sent it, with what they typed."""
    data: Mapping[str, Any] = interaction.data or {}
    answers = dict(_answers(data.get("components")))
    match = TEMPLATE.fullmatch(str(data.get("custom_id")))
    job_id = UUID(hex=match["job"]) if match else None
    try:
        if match is None or job_id is None or match["action"] not in FORMS:
            raise UserError("button_unknown")
        await FORMS[match["action"]](interaction, job_id, int(match["cell"]), answers)
    except Exception as error:  # noqa: BLE001  # the last door: discord.py would log it and answer nothing
        await tell_error(interaction, error, job_id, typed=answers.get(PROMPT, ""))


def _answers(components: object) -> Iterator[tuple[str, str]]:
    """custom_id → what was typed or chosen there. A client sends this, so anything may stand in it."""
    for part in components if isinstance(components, list) else ():
        answer = part.get("component") if isinstance(part, dict) else None
        if not isinstance(answer, dict):
            continue
        values = answer.get("values")
        value = values[0] if isinstance(values, list) and len(values) == 1 else answer.get("value")
        if isinstance(value, str):
            yield str(answer.get("custom_id")), value
