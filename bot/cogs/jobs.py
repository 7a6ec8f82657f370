"""/show and /cancel: one of one's own jobs."""

from __future__ import annotations

from uuid import UUID

from discord import app_commands

from bot.errors import UserError
from bot.texts import say
from bot.views.interactions import Interaction, asker_of, in_time, locale_of, services_of, tell
from bot.views.job_text import named, shown
from bot.views.repost import repost

CHOICE_CHARACTERS = 80
EXAMPLE_ID = "3f2b8a04-6c1d-4e57-9a60-b1c2d3e4f506"


@app_commands.command(name="show", description=say("help.show"))
@app_commands.describe(job_id=say("help.show_job_id"))
async def show(interaction: Interaction, job_id: str) -> None:
    await repost(interaction, _parsed(job_id))


@app_commands.command(name="cancel", description=say("help.cancel"))
@app_commands.describe(job=say("help.cancel_job"))
async def cancel(interaction: Interaction, job: str | None = None) -> None:
    jobs, asker = services_of(interaction).jobs, asker_of(interaction)
    work = jobs.cancel_newest(asker) if job is None else jobs.cancel(asker, _parsed(job))
    cancelled = await in_time(interaction, work, ephemeral=True)
    prompt = shown(named(cancelled, locale_of(interaction)))
    await tell(interaction, say("message.cancel_done", locale_of(interaction), prompt=prompt))


@cancel.autocomplete("job")
async def _own_unfinished_jobs(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    jobs = await services_of(interaction).jobs.unfinished(interaction.user.id)
    choices = [
        app_commands.Choice(name=_cut(named(job, locale_of(interaction))), value=str(job.id)) for job in jobs
    ]
    return [choice for choice in choices if current.casefold() in choice.name.casefold()][:25]


def _cut(text: str) -> str:
    return text if len(text) <= CHOICE_CHARACTERS else text[: CHOICE_CHARACTERS - 1] + "…"


def _parsed(job_id: str) -> UUID:
    """Autocompleted and copied values are what a client sends: anything."""
    try:
        return UUID(job_id.strip().strip("`"))
    except ValueError:
        raise UserError("job_id_invalid", got=shown(job_id, 60), example=EXAMPLE_ID) from None
