"""A small discord.py bot that uses every feature of the stand-in: `python sample_bot.py ORIGIN TOKEN`."""

from __future__ import annotations

import asyncio
import io
import re
import sys

import discord
from discord import app_commands
from PIL import Image

COLORS = ("red", "green", "blue", "gold")


def picture(color: str, size: int = 256, name: str = "grid.png") -> discord.File:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), color).save(buffer, "PNG")
    buffer.seek(0)
    return discord.File(buffer, name, description=f"a {color} square")


class Act(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"sample:(?P<verb>\w+):(?P<cell>\d)"
):
    def __init__(self, verb: str, cell: int) -> None:
        labels = {"reroll": "🔄", "remix": "Remix"}
        label = labels.get(verb, f"{verb}{cell}")
        super().__init__(discord.ui.Button(label=label, custom_id=f"sample:{verb}:{cell}"))
        self.verb, self.cell = verb, cell

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[discord.ui.View], match: re.Match[str], /
    ) -> Act:
        return cls(match["verb"], int(match["cell"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        if self.verb == "remix":
            await interaction.response.send_modal(Remix(interaction.id))
        elif self.verb == "U":
            await interaction.response.defer(thinking=True)
            await interaction.followup.send(f"Picture {self.cell}", file=picture(COLORS[self.cell - 1]))
        else:
            await interaction.response.send_message(f"{self.verb}{self.cell}", ephemeral=True)


def grid_view() -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for verb in ("U", "V"):
        for cell in (1, 2, 3, 4):
            view.add_item(Act(verb, cell))
    view.add_item(Act("reroll", 0))
    view.add_item(Act("remix", 0))
    return view


class Remix(discord.ui.Modal, title="Remix"):
    prompt = discord.ui.Label(
        text="Prompt", component=discord.ui.TextInput(max_length=4000, default="a red boat")
    )
    strength = discord.ui.Label(
        text="Strength",
        component=discord.ui.Select(
            options=[discord.SelectOption(label="low"), discord.SelectOption(label="high")]
        ),
    )
    image = discord.ui.Label(text="Image", component=discord.ui.FileUpload(required=False, min_values=0))

    def __init__(self, interaction_id: int) -> None:
        super().__init__(custom_id=f"remix:{interaction_id}", timeout=600)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        files = self.image.component.values  # type: ignore[attr-defined]  # a Label holds any component
        size = len(await files[0].read()) if files else 0
        prompt, strength = self.prompt.component.value, self.strength.component.values[0]  # type: ignore[attr-defined]  # likewise
        await interaction.response.send_message(f"remix {prompt} {strength} {size}")


class SampleBot(discord.AutoShardedClient):
    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            guild_ready_timeout=0.1,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Act)
        add_commands(self.tree)
        await self.tree.sync()


def add_commands(tree: app_commands.CommandTree[SampleBot]) -> None:
    @tree.command(description="Make four pictures")
    @app_commands.describe(prompt="what to see", style="how it looks", image="start from this")
    async def imagine(
        interaction: discord.Interaction,
        prompt: app_commands.Range[str, 1, 4000],
        style: str | None = None,
        image: discord.Attachment | None = None,
    ) -> None:
        await interaction.response.defer(thinking=True)
        size = 0 if image is None else len(await image.read())
        title = f"**{prompt}** - {interaction.user.mention}"
        for done, color in ((0, "black"), (50, "gray")):
            await interaction.edit_original_response(
                content=f"{title} ({done}%)", attachments=[picture(color, 64)]
            )
        content = f"{title} (done) {style or ''} {size}".strip()
        await interaction.edit_original_response(
            content=content, attachments=[picture("red")], view=grid_view()
        )

    @imagine.autocomplete("style")
    async def styles(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [
            app_commands.Choice(name=name.title(), value=name)
            for name in ("ink", "oil", "photo")
            if current in name
        ]

    @tree.command(description="Only you see this")
    async def whisper(interaction: discord.Interaction, text: str) -> None:
        await interaction.response.send_message(text, ephemeral=True)
        await interaction.followup.send(f"{text} again", ephemeral=True)
        await interaction.user.send(f"{text} by direct message", file=picture("blue"))

    @tree.command(description="Never answers in time")
    async def sleepy(interaction: discord.Interaction) -> None:
        await asyncio.sleep(0)

    @tree.command(description="A gallery of four", nsfw=True)
    async def gallery(interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        files = [picture(color, 64, f"{color}.png") for color in COLORS]
        view = discord.ui.LayoutView(timeout=None)
        items = [discord.MediaGalleryItem(file, description=file.filename) for file in files]
        row = discord.ui.ActionRow[discord.ui.LayoutView](Act("V", 1))
        view.add_item(
            discord.ui.Container(discord.ui.TextDisplay("# Gallery"), discord.ui.MediaGallery(*items), row)
        )
        await interaction.edit_original_response(view=view, attachments=files)

    @tree.command(description="For moderators")
    @app_commands.default_permissions(manage_guild=True)
    async def setup(interaction: discord.Interaction) -> None:
        await interaction.response.send_message(
            "set up", embed=discord.Embed(title="Settings", color=0x5B6CFF)
        )

    @tree.context_menu(name="Describe image")
    async def describe(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"{len(message.attachments)} pictures", ephemeral=True)


def main(origin: str, token: str) -> None:
    discord.http.Route.BASE = f"{origin}/api/v10"
    SampleBot().run(token, log_level=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
