"""A member of the guild for tests: the same operations as the page, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bot.playground import components
from bot.playground.attachments import UploadedFile
from bot.playground.events import Event, MessageCreated, MessageDeleted, MessageUpdated
from bot.playground.interactions import Answer
from bot.playground.limits import CHECKBOX, RADIO_GROUP, TEXT_DISPLAY, TEXT_INPUT
from bot.playground.services import Services
from bot.playground.state import Channel, User

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How the bot answered: "ok" (with the message answered with, if any), "choices", "modal", or "failed" after 3 s."""

    kind: Literal["ok", "choices", "modal", "failed"]
    interaction_id: str
    message_id: str | None
    choices: list[Json]
    modal: Json | None


class UserSession:
    """Channels are named ("general", "dm") or given by id; messages are Discord's message objects."""

    def __init__(self, services: Services, user: User) -> None:
        self._services = services
        self.id = user.id
        self.name = user.global_name or user.username

    async def slash(self, name: str, /, *, channel: str = "general", **options: object) -> Outcome:
        """Run `/name`, words of subcommands separated by spaces. An attachment option takes what `upload` returned.

        Raises DiscordError where Discord's client would refuse to send it.
        """
        command, sent = self._command(name, options)
        return await self._outcome(
            self._services.members.slash(self.id, self.channel(channel).id, command["id"], sent)
        )

    async def complete(
        self, name: str, option: str, typed: str, /, *, channel: str = "general", **others: object
    ) -> list[Json]:
        """The choices the bot offers while `typed` stands in `option`."""
        command, sent = self._command(name, {**others, option: typed}, focused=option)
        outcome = await self._outcome(
            self._services.members.complete(self.id, self.channel(channel).id, command["id"], sent)
        )
        return outcome.choices

    async def context_menu(self, name: str, target: Json, *, channel: str | None = None) -> Outcome:
        """`target` is a message, or a user (then `channel` says where)."""
        command = self._find_command(name, (2, 3))
        where = self.channel(channel or target.get("channel_id") or "general").id
        return await self._outcome(
            self._services.members.context_menu(self.id, where, command["id"], target["id"])
        )

    async def click(self, message: Json, button: str) -> Outcome:
        """`button` is a custom_id or the label or emoji on it."""
        custom_id = self.button(message, button)["custom_id"]
        return await self._outcome(
            self._services.members.click(self.id, message["channel_id"], message["id"], custom_id)
        )

    async def click_custom_id(self, message: Json, custom_id: str) -> Outcome:
        """Send exactly this custom_id, whether or not it stands on the message."""
        return await self._outcome(
            self._services.members.click(self.id, message["channel_id"], message["id"], custom_id)
        )

    async def select(self, message: Json, custom_id: str, values: Sequence[str]) -> Outcome:
        members = self._services.members
        return await self._outcome(
            members.select(self.id, message["channel_id"], message["id"], custom_id, list(values))
        )

    async def submit(self, opened: Outcome, values: dict[str, Any]) -> Outcome:
        """Send the modal of `opened` back; `values` by custom_id or label, what is not named keeps its preset."""
        assert opened.modal is not None
        sent = [_filled(component, None, values) for component in opened.modal["components"]]
        members = self._services.members
        return await self._outcome(
            members.submit(self.id, opened.interaction_id, opened.modal["custom_id"], sent)
        )

    async def upload(self, filename: str, content: bytes) -> Json:
        return await self._services.members.upload(self.id, UploadedFile(filename, content))

    async def say(self, content: str, *, channel: str = "general") -> Json:
        message = await self._services.members.say(self.id, self.channel(channel).id, content)
        return self._services.rendering.message(message)

    def dismiss(self, message: Json) -> None:
        self._services.members.dismiss(self.id, message["id"])

    def messages(self, channel: str = "general") -> list[Json]:
        """What this member sees there, oldest first, the last 50."""
        return self._services.members.history(self.id, self.channel(channel).id)[0]

    def message(self, message_id: str) -> Json | None:
        """The message as it is now; None when it is gone or not for this member."""
        found = self._services.state.messages.get(message_id)
        if found is None or not self._services.members.sees(self.id, found):
            return None
        return self._services.rendering.message(found)

    async def wait_for(
        self, predicate: Callable[[Json], object], *, channel: str = "general", seconds: float = 60.0
    ) -> Json:
        """The newest message for which `predicate` holds, now or as soon as there is one. Raises TimeoutError."""
        where = self.channel(channel)

        def look() -> Json | None:
            return next(
                (message for message in reversed(self.messages(where.id)) if predicate(message)), None
            )

        def complaint() -> str:
            return f"no such message; seen: {[message['content'] for message in self.messages(where.id)]}"

        return await self._until(look, seconds, complaint)

    async def wait_gone(self, message: Json, *, seconds: float = 60.0) -> None:
        """Return once the message has been deleted. Raises TimeoutError."""
        await self._until(
            lambda: None if self.message(message["id"]) else True, seconds, lambda: "it is still there"
        )

    async def fetch(self, attachment: Json) -> bytes:
        """The bytes of an attachment object, straight from the store."""
        content = await self._services.state.store.read_file(attachment["id"])
        assert content is not None, f"{attachment['filename']} has no bytes"
        return content

    def commands(self) -> list[Json]:
        return self._services.commands.for_member(self.id)

    def channel(self, name: str) -> Channel:
        """A channel by name, "dm" for the own direct messages with the bot, or by id."""
        for channel in self._services.state.channels_of(self.id):
            if name.removeprefix("#") in (channel.name, channel.id) or (
                name == "dm" and channel.recipient_id
            ):
                return channel
        raise LookupError(f"{self.name} sees no channel {name!r}")

    def button(self, message: Json, button: str) -> Json:
        for component, _ in components.walk(message["components"]):
            faces = (
                component.get("custom_id"),
                component.get("label"),
                (component.get("emoji") or {}).get("name"),
            )
            if component["type"] == 2 and button in faces:
                return component
        raise LookupError(f"no button {button!r} on this message: {message['components']}")

    async def _until(self, look: Callable[[], T | None], seconds: float, complaint: Callable[[], str]) -> T:
        happened = asyncio.Event()

        def notice(event: Event) -> None:
            if isinstance(event, MessageCreated | MessageUpdated | MessageDeleted):
                happened.set()

        stop = self._services.events.subscribe(notice)
        try:
            async with asyncio.timeout(seconds):
                while (found := look()) is None:
                    await happened.wait()
                    happened.clear()
                return found
        except TimeoutError as error:
            raise TimeoutError(f"After {seconds:g} s: {complaint()}") from error
        finally:
            stop()

    async def _outcome(self, answer: asyncio.Future[Answer]) -> Outcome:
        result = await answer
        return Outcome(result.kind, result.interaction_id, result.message_id, result.choices, result.modal)

    def _find_command(self, name: str, types: tuple[int, ...]) -> Json:
        for command in self.commands():
            if command["name"] == name and command["type"] in types:
                return command
        raise LookupError(
            f"{self.name} has no command {name!r}; there are {[c['name'] for c in self.commands()]}"
        )

    def _command(
        self, name: str, options: dict[str, object], focused: str | None = None
    ) -> tuple[Json, list[Json]]:
        first, *rest = name.split()
        command = self._find_command(first, (1,))
        defined, path = command.get("options") or [], []
        for word in rest:
            inner = next(option for option in defined if option["name"] == word)
            path.append(inner)
            defined = inner.get("options") or []
        types = {option["name"]: option["type"] for option in defined}
        sent: list[Json] = []
        for option, value in options.items():
            plain = value["id"] if isinstance(value, dict) else value
            sent.append({"name": option, "type": types.get(option, 3), "value": plain})
            if option == focused:
                sent[-1]["focused"] = True
        for inner in reversed(path):
            sent = [{"name": inner["name"], "type": inner["type"], "options": sent}]
        return command, sent


def _filled(component: Json, label: str | None, values: dict[str, Any]) -> Json:
    """The MODAL_SUBMIT form of one component of a modal."""
    filled: Json = {"type": component["type"], "id": component["id"]}
    if component["type"] == TEXT_DISPLAY:
        return filled
    if "component" in component:
        return filled | {"component": _filled(component["component"], component["label"], values)}
    if "components" in component:
        return filled | {"components": [_filled(c, c.get("label"), values) for c in component["components"]]}
    custom_id = component["custom_id"]
    given = values.get(custom_id, values.get(label or custom_id))
    filled["custom_id"] = custom_id
    if component["type"] == TEXT_INPUT:
        return filled | {"value": component.get("value") or "" if given is None else given}
    presets = [option["value"] for option in component.get("options", ()) if option.get("default")]
    if component["type"] == RADIO_GROUP:
        return filled | {"value": next(iter(presets), None) if given is None else given}
    if component["type"] == CHECKBOX:
        return filled | {"value": component.get("default") if given is None else given}
    chosen = presets if given is None else given
    filled["values"] = [item["id"] if isinstance(item, dict) else item for item in chosen]
    return filled
