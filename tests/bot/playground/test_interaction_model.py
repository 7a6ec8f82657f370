"""Any order of answers, edits and waiting, against a small model of Discord's rules."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.playground import DiscordError, Faults, JumpingClock
from bot.playground.interactions import COMMAND, DEFER, REPLY, UPDATE
from bot.playground.rendering import LOADING
from bot.playground.services import Services, assemble
from bot.playground.state import Interaction
from bot.playground.store import MemoryStore

STEPS = st.lists(
    st.sampled_from(
        ["wait 2", "wait 5", "wait 500", "reply", "defer", "update", "edit", "follow up", "delete", "get"]
    ),
    max_size=12,
)


@dataclass
class Model:
    """What Discord would say, told in codes; None is success."""

    age: float = 0.0
    answered: str | None = None
    original: bool = False
    loading: bool = False
    shown: int = 0

    def expect(self, step: str) -> int | None:
        if step.startswith("wait"):
            self.age += int(step.split()[1])
            return None
        if step in ("reply", "defer", "update"):
            return self._answer(step)
        if self.age > 900:
            return 50027
        if self.answered is None:
            return 10015
        if step == "follow up":
            self.shown += not self.loading
            self.loading = False
            return None
        if not self.original:
            return 10008
        if step == "edit":
            self.loading = False
        if step == "delete":
            self.original = self.loading = False
            self.shown -= 1
        return None

    def _answer(self, step: str) -> int | None:
        if self.answered is not None:
            return 40060
        if self.age > 3:
            return 10062
        if step == "update":
            return 50035  # There is no message to update.
        self.answered, self.original, self.loading = step, True, step == "defer"
        self.shown += 1
        return None


async def perform(services: Services, clock: JumpingClock, interaction: Interaction, step: str) -> int | None:
    interactions, application = services.interactions, services.state.application_id
    try:
        if step.startswith("wait"):
            clock.advance(int(step.split()[1]))
        elif step in ("reply", "defer", "update"):
            payload = {
                "type": {"reply": REPLY, "defer": DEFER, "update": UPDATE}[step],
                "data": {"content": "x"},
            }
            await interactions.respond(interaction.id, interaction.token, payload, {})
        else:
            known = interactions.with_token(application, interaction.token)
            if step == "follow up":
                await interactions.follow_up(known, {"content": "x"}, {})
            else:
                message = interactions.message(known, "@original")
                if step == "edit":
                    await interactions.edit(known, message, {"content": "y"}, {})
                elif step == "delete":
                    services.messages.delete(message)
    except DiscordError as error:
        return error.code
    return None


@settings(max_examples=40)
@given(STEPS)
def test_discord_and_the_model_agree(steps: list[str]) -> None:
    async def play() -> None:
        clock, model = JumpingClock(frozen=True), Model()
        services = assemble(MemoryStore(), clock, Faults())
        await services.state.load()
        channel = next(channel for channel in services.state.channels if channel.name == "general")
        data = {"id": "1", "name": "draw", "type": 1, "options": []}
        waiting = services.interactions.begin(COMMAND, services.state.people[0].id, channel, data)
        interaction = next(iter(services.state.interactions))
        for step in steps:
            assert await perform(services, clock, interaction, step) == model.expect(step), step
            shown = list(services.state.oldest_first(channel.id))
            assert len(shown) == model.shown
            assert any(message.flags & LOADING for message in shown) == model.loading
            assert waiting.done() == (model.answered is not None or model.age > 3)
            if waiting.done():
                assert waiting.result().kind == ("ok" if model.answered else "failed")

    asyncio.run(play())
