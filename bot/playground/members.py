"""What a member of the guild can do, checked as Discord checks its own client: the one door of page and tests."""

from __future__ import annotations

import asyncio
from typing import Any

from bot.playground import components, errors
from bot.playground.attachments import Attachments, UploadedFile
from bot.playground.commands import Commands, focused
from bot.playground.errors import form_error
from bot.playground.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL_SUBMIT, Answer, Interactions
from bot.playground.limits import BUTTON, FILE_UPLOAD, SELECTS, STRING_SELECT
from bot.playground.messages import Messages
from bot.playground.modal_rules import check_submission
from bot.playground.permissions import Permission
from bot.playground.rendering import Rendering
from bot.playground.state import Channel, Message, State

Json = dict[str, Any]

HISTORY = 50
"""Messages sent to the page per channel at first, and per scroll upwards."""

_SILENT_STYLES = (5, 6)
"""Link and premium buttons: a click on them never reaches the bot."""


class Members:
    """Every method raises DiscordError where Discord's client would be refused."""

    def __init__(
        self,
        state: State,
        rendering: Rendering,
        messages: Messages,
        attachments: Attachments,
        commands: Commands,
        interactions: Interactions,
    ) -> None:
        self._state = state
        self._rendering = rendering
        self._messages = messages
        self._attachments = attachments
        self._commands = commands
        self._interactions = interactions

    def slash(
        self, user_id: str, channel_id: str, command_id: str, options: list[Json]
    ) -> asyncio.Future[Answer]:
        channel = self.channel(user_id, channel_id)
        command = self._commands.usable(command_id, user_id, channel)
        if command.body["type"] != 1:
            raise errors.unknown_command()
        return self._interactions.begin(COMMAND, user_id, channel, self._commands.resolve(command, options))

    def complete(
        self, user_id: str, channel_id: str, command_id: str, options: list[Json]
    ) -> asyncio.Future[Answer]:
        channel = self.channel(user_id, channel_id)
        command = self._commands.usable(command_id, user_id, channel)
        if not focused(options):
            raise form_error(("options",), "BASE_TYPE_REQUIRED", "One option must have focused: true.")
        data = self._commands.resolve(command, options, partial=True)
        return self._interactions.begin(AUTOCOMPLETE, user_id, channel, data)

    def context_menu(
        self, user_id: str, channel_id: str, command_id: str, target_id: str
    ) -> asyncio.Future[Answer]:
        channel = self.channel(user_id, channel_id)
        command = self._commands.usable(command_id, user_id, channel)
        if command.body["type"] == 3:
            self.message(user_id, channel_id, target_id)
        elif command.body["type"] != 2:
            raise errors.unknown_command()
        return self._interactions.begin(
            COMMAND, user_id, channel, self._commands.menu_data(command, target_id)
        )

    def click(self, user_id: str, channel_id: str, message_id: str, custom_id: str) -> asyncio.Future[Answer]:
        """Refused unless the button stands on that message and is enabled, as Discord refuses its own clients."""
        message, component = self._component(user_id, channel_id, message_id, custom_id)
        if component["type"] != BUTTON or component["style"] in _SILENT_STYLES:
            raise _bad_component()
        data = {"id": component["id"], "custom_id": custom_id, "component_type": BUTTON}
        return self._interactions.begin(
            COMPONENT, user_id, self._state.channels[channel_id], data, message=message
        )

    def select(
        self, user_id: str, channel_id: str, message_id: str, custom_id: str, values: list[str]
    ) -> asyncio.Future[Answer]:
        message, component = self._component(user_id, channel_id, message_id, custom_id)
        kind = component["type"]
        if kind not in SELECTS or not component["min_values"] <= len(values) <= component["max_values"]:
            raise _bad_component()
        data: Json = {"id": component["id"], "custom_id": custom_id, "component_type": kind, "values": values}
        if kind == STRING_SELECT:
            if set(values) - {option["value"] for option in component["options"]} or len(set(values)) < len(
                values
            ):
                raise _bad_component()
        else:
            data["resolved"] = self._commands.resolve_entities(kind, values)
        return self._interactions.begin(
            COMPONENT, user_id, self._state.channels[channel_id], data, message=message
        )

    def submit(
        self, user_id: str, interaction_id: str, custom_id: str, sent: list[Json]
    ) -> asyncio.Future[Answer]:
        """Send a modal back; `sent` as Discord's client sends it in MODAL_SUBMIT."""
        opened = self._state.interactions.get(interaction_id)
        if opened is None or opened.modal is None or opened.user_id != user_id:
            raise errors.unknown_interaction()
        if opened.modal["custom_id"] != custom_id:
            raise form_error(("custom_id",), "COMPONENT_VALIDATION_FAILED", "Component validation failed")
        check_submission(opened.modal, sent)
        resolved: Json = {}
        for component, _ in components.walk(sent):
            if (
                component.get("values")
                and component["type"] in (*SELECTS, FILE_UPLOAD)
                and component["type"] != STRING_SELECT
            ):
                for kind, entities in self._commands.resolve_entities(
                    component["type"], component["values"]
                ).items():
                    resolved.setdefault(kind, {}).update(entities)
        data: Json = {"custom_id": custom_id, "components": sent, "resolved": resolved}
        channel = self.channel(user_id, opened.channel_id)
        message = self._state.messages.get(opened.message_id)
        return self._interactions.begin(MODAL_SUBMIT, user_id, channel, data, message=message, parent=opened)

    async def upload(self, user_id: str, file: UploadedFile) -> Json:
        """Keep a file for an option, a modal or a message; returns Discord's attachment object."""
        if len(file.content) > self._rendering.upload_limit():
            raise errors.too_large()
        return self._rendering.attachment(await self._attachments.add(file, channel_id=None, ephemeral=True))

    async def say(
        self, user_id: str, channel_id: str, content: str, files: list[UploadedFile] | None = None
    ) -> Message:
        channel = self.channel(user_id, channel_id)
        if not self._rendering.permissions(user_id, channel) & Permission.SEND_MESSAGES:
            raise errors.missing_permissions()
        numbered = {str(index): file for index, file in enumerate(files or ())}
        return await self._messages.create(
            self._messages.draft(channel_id, user_id),
            {"content": content},
            numbered,
            upload_limit=self._rendering.upload_limit(channel),
        )

    def dismiss(self, user_id: str, message_id: str) -> None:
        """Only one's own ephemeral messages; the bot is not told."""
        message = self._state.messages.get(message_id)
        if message is None or message.viewer_id != user_id:
            raise errors.unknown_message()
        self._messages.delete(message)

    def history(self, user_id: str, channel_id: str, before: int | None = None) -> tuple[list[Json], bool]:
        """Up to HISTORY messages, oldest first, with fresh URLs, and whether there are older ones."""
        channel = self.channel(user_id, channel_id)
        listed = self._messages.listing(channel, limit=HISTORY + 1, before=before, viewer_id=user_id)
        return [self._rendering.message(m) for m in reversed(listed[:HISTORY])], len(listed) > HISTORY

    def channel(self, user_id: str, channel_id: str) -> Channel:
        """A channel this member sees."""
        channel = self._state.channels.get(channel_id)
        if channel is None:
            raise errors.unknown_channel()
        if channel.recipient_id not in (None, user_id):
            raise errors.missing_access()
        if not self._rendering.permissions(user_id, channel) & Permission.VIEW_CHANNEL:
            raise errors.missing_access()
        return channel

    def message(self, user_id: str, channel_id: str, message_id: str) -> Message:
        message = self._messages.get(self.channel(user_id, channel_id), message_id, with_ephemeral=True)
        if message.viewer_id not in (None, user_id):
            raise errors.unknown_message()
        return message

    def sees(self, user_id: str, message: Message) -> bool:
        channel = self._state.channels.get(message.channel_id)
        return (
            channel is not None
            and message.viewer_id in (None, user_id)
            and channel.recipient_id in (None, user_id)
            and bool(self._rendering.permissions(user_id, channel) & Permission.VIEW_CHANNEL)
        )

    def _component(
        self, user_id: str, channel_id: str, message_id: str, custom_id: str
    ) -> tuple[Message, Json]:
        message = self.message(user_id, channel_id, message_id)
        component = components.find(message.components, custom_id)
        if component is None or component.get("disabled"):
            raise _bad_component()
        return message, component


def _bad_component() -> errors.DiscordError:
    return form_error(("data",), "COMPONENT_VALIDATION_FAILED", "Component validation failed")
