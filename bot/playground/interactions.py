"""Interactions from the bot's side: what it is sent, how it may answer, both clocks, follow-ups.

pending --callback in time--> acknowledged --fifteen minutes--> the token is dead (50027)
   \\--three seconds--> failed (10062; the page shows "The application did not respond")
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from bot.playground import errors
from bot.playground.command_rules import check_choice_values
from bot.playground.commands import focused
from bot.playground.errors import FormErrors, form_error
from bot.playground.events import Events, ResponseOverdue
from bot.playground.messages import Files, Messages
from bot.playground.modal_rules import check_modal
from bot.playground.rendering import EPHEMERAL, LOADING, Rendering
from bot.playground.snowflakes import created_at
from bot.playground.state import INTERACTION_LIFETIME, Channel, Interaction, Message, State
from bot.playground.validation import check_form

Json = dict[str, Any]

ANSWER_WITHIN = 3.0
"""Seconds within which the first answer must come."""

MODAL_OPENS_AFTER = 0.1
"""Seconds between the callback and the modal on the member's screen."""

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
REPLY, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9

_ALLOWED_ANSWERS = {
    COMMAND: (REPLY, DEFER, MODAL),
    COMPONENT: (REPLY, DEFER, DEFER_UPDATE, UPDATE, MODAL),
    AUTOCOMPLETE: (CHOICES,),
    MODAL_SUBMIT: (REPLY, DEFER, DEFER_UPDATE, UPDATE),
}

_SLASH_REPLY, _MENU_REPLY, _PLAIN_REPLY = 20, 23, 19
"""Message types of an answer to a slash command, to a context menu, and of answers to components and follow-ups."""


@dataclass(frozen=True)
class Answer:
    """How an interaction ended for whoever started it."""

    kind: Literal["ok", "choices", "modal", "failed"]
    interaction_id: str
    choices: list[Json] = field(default_factory=list)
    modal: Json | None = None
    message_id: str | None = None


class Dispatch(Protocol):
    def __call__(self, name: str, data: Json, *, guild_id: str | None) -> None: ...


class Interactions:
    def __init__(
        self, state: State, rendering: Rendering, messages: Messages, events: Events, dispatch: Dispatch
    ) -> None:
        self._state = state
        self._rendering = rendering
        self._messages = messages
        self._events = events
        self._dispatch = dispatch
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    def begin(
        self,
        kind: int,
        user_id: str,
        channel: Channel,
        data: Json,
        *,
        message: Message | None = None,
        parent: Interaction | None = None,
    ) -> asyncio.Future[Answer]:
        """Send INTERACTION_CREATE to the bot; the future ends with its first answer or with "failed" after three seconds.

        `parent` is the interaction whose modal is being submitted.
        """
        self._state.forget_expired_interactions()
        interaction_id = self._state.snowflakes.next()
        interaction = Interaction(
            id=interaction_id,
            token=f"{interaction_id}-{secrets.token_urlsafe(72)}",
            type=kind,
            user_id=user_id,
            channel_id=channel.id,
            data=data,
            locale="en-US",
            message_id=None if message is None else message.id,
            parent_metadata=None if parent is None else self._metadata(parent),
        )
        self._state.interactions.put(interaction)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[interaction.id] = answered
        self._state.timers.later(ANSWER_WITHIN, partial(self._fail_unanswered, interaction))
        self._dispatch(
            "INTERACTION_CREATE", self._event(interaction, channel, message), guild_id=channel.guild_id
        )
        return answered

    def resume(self) -> None:
        """Start the clocks of what an earlier run left open; nobody waits any more for its first answers."""
        for interaction in self._state.interactions:
            if interaction.state == "pending":
                delay = max(0.0, ANSWER_WITHIN - self._age(interaction))
                self._state.timers.later(delay, partial(self._fail_unanswered, interaction))
            self._watch_deferral(interaction)

    async def respond(self, interaction_id: str, token: str, payload: Any, files: Files) -> Json:
        """The callback; returns Discord's callback response object."""
        interaction = self._state.interactions.get(interaction_id)
        if interaction is None or not secrets.compare_digest(interaction.token.encode(), token.encode()):
            raise errors.unknown_interaction()
        if interaction.state == "acknowledged":
            raise errors.already_acknowledged()
        if interaction.state == "failed" or self._age(interaction) > ANSWER_WITHIN:
            raise errors.unknown_interaction()
        answer_type = payload.get("type") if isinstance(payload, dict) else None
        if answer_type not in self._allowed_answers(interaction):
            allowed = ", ".join(map(str, self._allowed_answers(interaction)))
            raise form_error(("type",), "BASE_TYPE_CHOICES", f"Value must be one of {{{allowed}}}.")
        # Two callbacks may race while files are stored: the first one here wins, and steps back if nothing comes of it.
        interaction.state = "acknowledged"
        try:
            message = await self._carry_out(interaction, answer_type, payload.get("data") or {}, files)
        except BaseException:  # Whatever the reason, nothing has been answered.
            interaction.state = "pending"
            if self._age(interaction) > ANSWER_WITHIN:
                self._fail_unanswered(interaction)
            raise
        interaction.response_type = answer_type
        interaction.response_message_id = None if message is None else message.id
        self._state.interactions.put(interaction)
        self._watch_deferral(interaction)
        self._answer(interaction, payload.get("data") or {})
        return self._callback_response(interaction, message)

    def with_token(self, application_id: str, token: str) -> Interaction:
        """The interaction a webhook route speaks of; raises 10015 before its acknowledgement, 50027 after its time."""
        if application_id != self._state.application_id:
            raise errors.unknown_webhook()
        interaction = self._state.interactions.get(token.partition("-")[0])
        if interaction is None or not secrets.compare_digest(interaction.token.encode(), token.encode()):
            raise errors.invalid_webhook_token()
        if self._age(interaction) > INTERACTION_LIFETIME:
            raise errors.invalid_webhook_token()
        if interaction.state != "acknowledged":
            raise errors.unknown_webhook()
        return interaction

    def message(self, interaction: Interaction, message_id: str) -> Message:
        """`@original` or a message this interaction's token made; raises 10008 for any other."""
        if message_id == "@original":
            message_id = interaction.response_message_id or ""
        message = self._state.messages.get(message_id)
        own = message is not None and (message.interaction_metadata or {}).get("id") == interaction.id
        if message is None or not (own or message.id == interaction.response_message_id):
            raise errors.unknown_message()
        return message

    async def edit(self, interaction: Interaction, message: Message, payload: Any, files: Files) -> Message:
        return await self._messages.edit(
            message, payload, files, upload_limit=self._upload_limit(interaction)
        )

    async def follow_up(self, interaction: Interaction, payload: Any, files: Files) -> Message:
        """A further message; the first one after a deferral fills the "is thinking…" message instead."""
        original = self._state.messages.get(interaction.response_message_id)
        if original is not None and original.flags & LOADING and interaction.response_type == DEFER:
            return await self.edit(interaction, original, payload, files)
        flags = payload.get("flags") if isinstance(payload, dict) else 0
        ephemeral = isinstance(flags, int) and bool(flags & EPHEMERAL)
        draft = self._draft(interaction, ephemeral=ephemeral)
        draft.type = _PLAIN_REPLY
        if original is not None:
            draft.reference = self._reference(original)
            assert draft.interaction_metadata is not None
            draft.interaction_metadata["original_response_message_id"] = original.id
        return await self._messages.create(
            draft, payload, files, upload_limit=self._upload_limit(interaction)
        )

    async def _carry_out(
        self, interaction: Interaction, answer_type: int, data: Any, files: Files
    ) -> Message | None:
        flags = data.get("flags") if isinstance(data, dict) else 0
        ephemeral = isinstance(flags, int) and bool(flags & EPHEMERAL)
        limit = self._upload_limit(interaction)
        target = self._state.messages.get(interaction.message_id)
        match answer_type:
            case 4:
                draft = self._draft(interaction, ephemeral=ephemeral)
                return await self._messages.create(draft, data, files, upload_limit=limit, base=("data",))
            case 5:
                return self._messages.add_loading(self._draft(interaction, ephemeral=ephemeral))
            case 6:
                return target
            case 7:
                if target is None:
                    raise errors.unknown_message()
                return await self._messages.edit(target, data, files, upload_limit=limit, base=("data",))
            case 8:
                problems = FormErrors()
                check_form("autocomplete", data, ("data",), problems)
                problems.raise_if_any()
                typed = focused(interaction.data["options"])
                assert typed is not None
                check_choice_values(data["choices"], typed["type"], ("data",), problems)
                problems.raise_if_any()
            case _:
                interaction.modal = check_modal(data, ("data",))
        return None

    def _answer(self, interaction: Interaction, data: Json) -> None:
        waiting = self._waiting.pop(interaction.id, None)
        if waiting is None or waiting.done():
            return
        if interaction.response_type == CHOICES:
            waiting.set_result(Answer("choices", interaction.id, choices=data["choices"]))
        elif interaction.response_type == MODAL:
            answer = Answer("modal", interaction.id, modal=interaction.modal)
            # A client library registers its modal only after the reply to this callback has arrived, and no hand sends
            # a modal back within the blink it takes to open. A test would, so it waits that blink.
            self._state.timers.later(MODAL_OPENS_AFTER, partial(_settle, waiting, answer))
        else:
            waiting.set_result(Answer("ok", interaction.id, message_id=interaction.response_message_id))

    def _fail_unanswered(self, interaction: Interaction) -> None:
        if interaction.state != "pending":
            return
        interaction.state = "failed"
        if self._state.interactions.get(interaction.id) is interaction:
            self._state.interactions.put(interaction)
        waiting = self._waiting.pop(interaction.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer("failed", interaction.id, message_id=interaction.message_id))

    def _watch_deferral(self, interaction: Interaction) -> None:
        message = self._state.messages.get(interaction.response_message_id)
        if message is not None and message.flags & LOADING:
            remaining = max(0.0, INTERACTION_LIFETIME - self._age(interaction))
            self._state.timers.later(remaining, partial(self._fail_overdue, message))

    def _fail_overdue(self, message: Message) -> None:
        if self._state.messages.get(message.id) is message and message.flags & LOADING:
            self._events.publish(ResponseOverdue(message))

    def _allowed_answers(self, interaction: Interaction) -> tuple[int, ...]:
        allowed = _ALLOWED_ANSWERS[interaction.type]
        if interaction.message_id is None:
            allowed = tuple(answer for answer in allowed if answer not in (DEFER_UPDATE, UPDATE))
        return allowed

    def _draft(self, interaction: Interaction, *, ephemeral: bool) -> Message:
        if interaction.type == COMPONENT or interaction.message_id is not None:
            message_type = _PLAIN_REPLY
        else:
            message_type = _MENU_REPLY if interaction.data.get("type") in (2, 3) else _SLASH_REPLY
        draft = self._messages.draft(
            interaction.channel_id,
            self._state.application_id,
            kind=message_type,
            viewer_id=interaction.user_id if ephemeral else None,
        )
        draft.from_interaction = True
        draft.interaction_metadata = self._metadata(interaction)
        if message_type == _PLAIN_REPLY and (source := self._state.messages.get(interaction.message_id)):
            draft.reference = self._reference(source)
        return draft

    def _reference(self, message: Message) -> Json:
        reference = {"channel_id": message.channel_id, "message_id": message.id}
        if guild_id := self._state.channels[message.channel_id].guild_id:
            reference["guild_id"] = guild_id
        return reference

    def _metadata(self, interaction: Interaction) -> Json:
        """As messages carry it, except that users are ids and a command's name is added (see rendering)."""
        metadata: Json = {
            "id": interaction.id,
            "type": interaction.type,
            "user_id": interaction.user_id,
            "authorizing_integration_owners": self._owners(interaction),
        }
        if interaction.type == COMMAND:
            metadata["name"] = command_words(interaction.data)
            target = interaction.data.get("target_id")
            if target is not None:
                metadata["target_user_id" if interaction.data["type"] == 2 else "target_message_id"] = target
        elif interaction.type == COMPONENT:
            metadata["interacted_message_id"] = interaction.message_id
        elif interaction.parent_metadata is not None:
            metadata["triggering_interaction_metadata"] = interaction.parent_metadata
        return metadata

    def _owners(self, interaction: Interaction) -> Json:
        # A guild installation is named by the guild; in the bot's own direct messages Discord writes 0.
        return {"0": self._state.channels[interaction.channel_id].guild_id or "0"}

    def _upload_limit(self, interaction: Interaction) -> int:
        return self._rendering.upload_limit(self._state.channels.get(interaction.channel_id))

    def _age(self, interaction: Interaction) -> float:
        return self._state.clock.now() - created_at(interaction.id)

    def _event(self, interaction: Interaction, channel: Channel, message: Message | None) -> Json:
        state, rendering = self._state, self._rendering
        member = state.members[interaction.user_id]
        event: Json = {
            "id": interaction.id,
            "application_id": state.application_id,
            "type": interaction.type,
            "token": interaction.token,
            "version": 1,
            "data": interaction.data,
            "channel_id": channel.id,
            "channel": rendering.channel_for(interaction.user_id, channel),
            "locale": interaction.locale,
            "app_permissions": str(rendering.permissions(state.application_id, channel)),
            "entitlements": [],
            "authorizing_integration_owners": self._owners(interaction),
            "context": 0 if channel.guild_id else 1,
            "attachment_size_limit": self._upload_limit(interaction),
        }
        if channel.guild_id is None:
            event["user"] = rendering.user(state.users[interaction.user_id])
        else:
            event["guild_id"] = channel.guild_id
            event["guild_locale"] = "en-US"
            event["guild"] = {"id": channel.guild_id, "locale": "en-US", "features": []}
            event["member"] = rendering.member_in(member, channel)
        if message is not None:
            event["message"] = rendering.message(message)
        return event

    def _callback_response(self, interaction: Interaction, message: Message | None) -> Json:
        described: Json = {
            "id": interaction.id,
            "type": interaction.type,
            "channel_id": interaction.channel_id,
        }
        if guild_id := self._state.channels[interaction.channel_id].guild_id:
            described["guild_id"] = guild_id
        if message is not None:
            described["response_message_id"] = message.id
            described["response_message_loading"] = bool(message.flags & LOADING)
            described["response_message_ephemeral"] = message.viewer_id is not None
        response: Json = {"interaction": described}
        if message is not None and interaction.response_type in (REPLY, UPDATE):
            response["resource"] = {
                "type": interaction.response_type,
                "message": self._rendering.message(message),
            }
        return response


def _settle(waiting: asyncio.Future[Answer], answer: Answer) -> None:
    if not waiting.done():
        waiting.set_result(answer)


def command_words(data: Json) -> str:
    """The command as typed, with its subcommands: "settings privacy stealth"."""
    words = [data["name"]]
    options = data.get("options") or []
    while options and options[0]["type"] in (1, 2):
        words.append(options[0]["name"])
        options = options[0].get("options") or []
    return " ".join(words)
