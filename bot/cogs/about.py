"""/info and /help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from discord import app_commands

from bot.prompting import MAX_PROMPT_CHARACTERS, PARAMETERS
from bot.texts import say
from bot.views.interactions import Interaction, in_time, locale_of, services_of, tell
from bot.views.job_text import named, shown

LISTED_JOBS = 10
LINE_CHARACTERS = 70
LINE_ROOM = 100
"""Characters of a line's prompt once it is escaped."""


@app_commands.command(name="info", description=say("help.info"))
async def info(interaction: Interaction) -> None:
    jobs = services_of(interaction).jobs
    yours = await in_time(interaction, jobs.unfinished(interaction.user.id), ephemeral=True)
    stats, limits, locale = jobs.stats(), jobs.limits, locale_of(interaction)
    running, waiting = jobs.queue()
    model = jobs.models()[0].title
    if stats.loading is not None:
        model = say("message.info_loading", locale, model=model, percent=int(100 * stats.loading.fraction))
    lines = [
        say(
            "message.job_line",
            locale,
            prompt=shown(named(job, locale), LINE_CHARACTERS, LINE_ROOM),
            state=say(f"message.job_{job.state}", locale),
        )
        for job in yours[:LISTED_JOBS]
    ]
    await tell(
        interaction,
        say(
            "message.info",
            locale,
            model=model,
            device=stats.device or say("message.device_unknown", locale),
            running=running,
            waiting=waiting,
            yours="\n".join(["", *lines]) if lines else say("message.info_none", locale),
            max_running=limits.max_running_per_user,
            max_waiting=limits.max_waiting_per_user,
            characters=MAX_PROMPT_CHARACTERS,
        ),
    )


@app_commands.command(name="help", description=say("help.help"))
async def help_command(interaction: Interaction) -> None:
    await tell(interaction, help_text(interaction.client.tree.get_commands(), locale_of(interaction)))


def help_text(commands: Iterable[app_commands.Command[Any, ..., Any]], locale: str) -> str:
    """Made from the commands and from the one table of parameters, so that it cannot fall behind either."""
    lines = [say("help.intro", locale), say("help.buttons", locale), say("help.commands", locale)]
    lines += [
        say("help.command", locale, name=command.name, description=command.description)
        for command in commands
    ]
    lines += [say("help.parameters", locale)]
    lines += [
        say("help.parameter", locale, flag=f"{row.name} {row.value}".rstrip(), help=say(row.help, locale))
        for row in PARAMETERS
    ]
    return "\n".join(lines)
