"""What happened, told to whoever shows it: the gateway tells the bot, page sockets and user sessions tell people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.playground.state import Channel, Message


@dataclass(frozen=True)
class MessageCreated:
    message: Message


@dataclass(frozen=True)
class MessageUpdated:
    message: Message


@dataclass(frozen=True)
class MessageDeleted:
    message: Message


@dataclass(frozen=True)
class ChannelCreated:
    channel: Channel


@dataclass(frozen=True)
class ChannelUpdated:
    channel: Channel


@dataclass(frozen=True)
class ChannelDeleted:
    channel: Channel


@dataclass(frozen=True)
class CommandsChanged:
    pass


@dataclass(frozen=True)
class TypingStarted:
    channel: Channel
    user_id: str


@dataclass(frozen=True)
class PresenceChanged:
    bot_online: bool


@dataclass(frozen=True)
class ResponseOverdue:
    """A deferred answer that was still "thinking" when its token died; Discord then shows it as failed."""

    message: Message


Event = (
    MessageCreated
    | MessageUpdated
    | MessageDeleted
    | ChannelCreated
    | ChannelUpdated
    | ChannelDeleted
    | CommandsChanged
    | TypingStarted
    | PresenceChanged
    | ResponseOverdue
)


class Events:
    """Synchronous and in order: a listener must only queue what it sends, never wait."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Returns the function that ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
