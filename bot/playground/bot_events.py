"""Which events the bot is told of, as which gateway dispatch, under which intent."""

from __future__ import annotations

from typing import Any, Protocol

from bot.playground.events import (
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    Event,
    Events,
    MessageCreated,
    MessageDeleted,
    MessageUpdated,
    TypingStarted,
)
from bot.playground.rendering import Rendering
from bot.playground.state import Channel, Message, State

Json = dict[str, Any]

GUILDS, GUILD_MEMBERS, PRESENCES, GUILD_MESSAGES, GUILD_TYPING = 1 << 0, 1 << 1, 1 << 8, 1 << 9, 1 << 11
DIRECT_MESSAGES, DIRECT_TYPING, MESSAGE_CONTENT = 1 << 12, 1 << 14, 1 << 15


class DispatchEvent(Protocol):
    def __call__(
        self,
        name: str,
        data: Json,
        *,
        guild_id: str | None,
        intents: int = 0,
        content_hidden: Json | None = None,
    ) -> None: ...


class BotEvents:
    """Listens for as long as the playground lives. Ephemeral messages and typing by page are not told to the bot."""

    def __init__(self, state: State, rendering: Rendering, events: Events, dispatch: DispatchEvent) -> None:
        self._state = state
        self._rendering = rendering
        self._dispatch = dispatch
        events.subscribe(self._on_event)

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageCreated(message):
                self._tell_message("MESSAGE_CREATE", message)
            case MessageUpdated(message):
                self._tell_message("MESSAGE_UPDATE", message)
            case MessageDeleted(message) if message.viewer_id is None:
                if channel := self._state.channels.get(message.channel_id):
                    body: Json = {"id": message.id, "channel_id": message.channel_id}
                    self._tell_in(channel, "MESSAGE_DELETE", body, GUILD_MESSAGES, DIRECT_MESSAGES)
            case ChannelCreated(channel):
                self._tell_channel("CHANNEL_CREATE", channel)
            case ChannelUpdated(channel):
                self._tell_channel("CHANNEL_UPDATE", channel)
            case ChannelDeleted(channel):
                self._tell_channel("CHANNEL_DELETE", channel)
            case TypingStarted(channel, user_id):
                now = int(self._state.clock.now())
                body = {"channel_id": channel.id, "user_id": user_id, "timestamp": now}
                self._tell_in(channel, "TYPING_START", body, GUILD_TYPING, DIRECT_TYPING)

    def _tell_channel(self, name: str, channel: Channel) -> None:
        self._dispatch(name, self._rendering.channel(channel), guild_id=channel.guild_id, intents=GUILDS)

    def _tell_message(self, name: str, message: Message) -> None:
        channel = self._state.channels.get(message.channel_id)
        if message.viewer_id is not None or channel is None:
            return
        body = self._rendering.message_event(message)
        hidden = self._rendering.without_content(message, body)
        self._tell_in(channel, name, body, GUILD_MESSAGES, DIRECT_MESSAGES, hidden)

    def _tell_in(
        self, channel: Channel, name: str, body: Json, in_guild: int, in_dm: int, hidden: Json | None = None
    ) -> None:
        if channel.guild_id is None:
            self._dispatch(name, body, guild_id=None, intents=in_dm)
        else:
            body = {**body, "guild_id": channel.guild_id}
            self._dispatch(name, body, guild_id=channel.guild_id, intents=in_guild, content_hidden=hidden)
