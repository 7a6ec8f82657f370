"""/info and /help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from discord import app_commands

from bot.prompting import MAX_PROMPT_CHARACTERS, PARAMETERS
from bot.texts import say
from bot.views.interactions import Interaction, in_time, services_of, tell
from bot.views.job_text import shown, typed

LISTED_JOBS = 10
LINE_CHARACTERS = 70
LINE_ROOM = 100
"""Characters of a line's prompt once it is escaped."""


@app_commands.command(name="info", description=say("help.info"))
async def info(interaction: Interaction) -> None:
    jobs = services_of(interaction).jobs
    yours = await in_time(interaction, jobs.unfinished(interaction.user.id), ephemeral=True)
    stats, limits = jobs.stats(), jobs.limits
    running, waiting = jobs.queue()
    model = jobs.models()[0].title
    if stats.loading is not None:
        model = say("message.info_loading", model=model, percent=int(100 * stats.loading.fraction))
    lines = [
        say("message.job_line", prompt=shown(typed(job), LINE_CHARACTERS, LINE_ROOM), state=job.state)
        for job in yours[:LISTED_JOBS]
    ]
    await tell(
        interaction,
        say(
            "message.info",
            model=model,
            device=stats.device or say("message.device_unknown"),
            running=running,
            waiting=waiting,
            yours="\n".join(["", *lines]) if lines else say("message.info_none"),
            max_running=limits.max_running_per_user,
            max_waiting=limits.max_waiting_per_user,
            characters=MAX_PROMPT_CHARACTERS,
        ),
    )


@app_commands.command(name="help", description=say("help.help"))
async def help_command(interaction: Interaction) -> None:
    await tell(interaction, help_text(interaction.client.tree.get_commands()))


def help_text(commands: Iterable[app_commands.Command[Any, ..., Any]]) -> str:
    """Made from the commands and from the one table of parameters, so that it cannot fall behind either."""
    lines = [say("help.intro"), say("help.buttons"), say("help.commands")]
    lines += [say("help.command", name=command.name, description=command.description) for command in commands]
    lines += [say("help.parameters")]
    lines += [say("help.parameter", flag=row.name, value=row.value, help=say(row.help)) for row in PARAMETERS]
    return "\n".join(lines)
