"""/imagine: pictures from a description."""

from __future__ import annotations

from discord import app_commands

from bot.domain import Action, Order
from bot.texts import say
from bot.views.first_answer import start_job
from bot.views.interactions import Interaction, services_of


@app_commands.command(name="imagine", description=say("help.imagine"))
@app_commands.describe(prompt=say("help.imagine_prompt"))
async def imagine(interaction: Interaction, prompt: str) -> None:
    # No length is declared: our own sentence answers a prompt that is too long, and says by how much.
    jobs = services_of(interaction).jobs
    await start_job(
        interaction,
        lambda asker, source: jobs.create(asker, Order(action=Action.IMAGINE, source=source, prompt=prompt)),
    )
