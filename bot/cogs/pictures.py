"""/describe, /blend and /variations: what begins with uploaded pictures."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.domain import Action, Order
from bot.texts import say
from bot.views.first_answer import start_job
from bot.views.interactions import Interaction, services_of, upload_of

SHAPES = [
    app_commands.Choice(name=f"{name} {aspect}", value=aspect)
    for name, aspect in (
        (say("help.portrait"), "2:3"),
        (say("help.square"), "1:1"),
        (say("help.landscape"), "3:2"),
    )
]


@app_commands.command(name="describe", description=say("help.describe"))
@app_commands.describe(picture=say("help.describe_picture"))
async def describe(interaction: Interaction, picture: discord.Attachment) -> None:
    await _start(interaction, Action.DESCRIBE, [picture])


@app_commands.command(name="blend", description=say("help.blend"))
@app_commands.describe(
    image1=say("help.blend_picture"),
    image2=say("help.blend_picture"),
    image3=say("help.blend_picture"),
    image4=say("help.blend_picture"),
    image5=say("help.blend_picture"),
    dimensions=say("help.blend_dimensions"),
    strip=say("help.blend_strip"),
)
@app_commands.choices(dimensions=SHAPES)
async def blend(
    interaction: Interaction,
    image1: discord.Attachment,
    image2: discord.Attachment,
    image3: discord.Attachment | None = None,
    image4: discord.Attachment | None = None,
    image5: discord.Attachment | None = None,
    dimensions: str | None = None,
    strip: bool = False,
) -> None:
    pictures = [image for image in (image1, image2, image3, image4, image5) if image is not None]
    width, _, height = (dimensions or "").partition(":")
    aspect = (int(width), int(height)) if dimensions else None
    await _start(interaction, Action.BLEND, pictures, aspect=aspect, strip=strip)


@app_commands.command(name="variations", description=say("help.variations"))
@app_commands.describe(image=say("help.variations_picture"))
async def variations(interaction: Interaction, image: discord.Attachment) -> None:
    await _start(interaction, Action.BLEND, [image])


async def _start(
    interaction: Interaction,
    action: Action,
    pictures: list[discord.Attachment],
    *,
    aspect: tuple[int, int] | None = None,
    strip: bool = False,
) -> None:
    jobs = services_of(interaction).jobs
    uploads = tuple(map(upload_of, pictures))
    await start_job(
        interaction,
        lambda asker, source: jobs.create(
            asker, Order(action=action, source=source, uploads=uploads, aspect=aspect, strip=strip)
        ),
    )
