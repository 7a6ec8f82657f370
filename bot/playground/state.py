"""Everything the playground remembers: typed rows in memory, each written through to the store when it is put."""

from __future__ import annotations

import bisect
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from bot.playground.clock import Clock, Timers
from bot.playground.permissions import ADMIN_PERMISSIONS, INVITE_PERMISSIONS, MEMBER_PERMISSIONS
from bot.playground.snowflakes import Snowflakes, created_at
from bot.playground.store import Store, StoreError

INTERACTION_LIFETIME = 15 * 60.0
"""Seconds for which an interaction token works."""

UPLOAD_LIFETIME = 24 * 3600.0
"""Seconds for which an uploaded file that no message shows is kept."""


FORGET_EVERY = 3600.0
"""Seconds between two looks for what can be forgotten."""


@dataclass
class User:
    id: str
    username: str
    global_name: str | None
    color: str
    """"#rrggbb", for the generated avatar and the page."""
    bot: bool = False
    accepts_dms: bool = True


@dataclass
class Member:
    user_id: str
    nick: str | None
    roles: list[str]
    joined_at: float

    @property
    def id(self) -> str:
        return self.user_id


@dataclass
class Role:
    id: str
    name: str
    permissions: int
    position: int
    color: int = 0
    bot_id: str | None = None


@dataclass
class Guild:
    id: str
    name: str
    owner_id: str
    icon_color: str
    premium_tier: int = 0
    upload_limit: int | None = None
    """Bytes per file where a test makes it smaller than the tier's; None means the tier's."""


@dataclass
class Channel:
    id: str
    type: int
    """0 is a guild's text channel, 1 a direct message between `recipient_id` and the bot."""
    name: str | None = None
    topic: str | None = None
    position: int = 0
    nsfw: bool = False
    guild_id: str | None = None
    recipient_id: str | None = None
    overwrites: list[dict[str, Any]] = field(default_factory=list)
    last_message_id: str | None = None


@dataclass
class Attachment:
    """Bytes lie in the store's files under `id`."""

    id: str
    channel_id: str | None
    filename: str
    size: int
    content_type: str | None
    width: int | None = None
    height: int | None = None
    description: str | None = None
    ephemeral: bool = False
    message_id: str | None = None


@dataclass
class Message:
    """`embeds` and `components` are Discord's objects, except that pictures name an attachment (`attachment://id/ID`)."""

    id: str
    channel_id: str
    author_id: str
    type: int
    content: str
    flags: int
    timestamp: float
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachment_ids: list[str] = field(default_factory=list)
    mention_ids: list[str] = field(default_factory=list)
    mention_role_ids: list[str] = field(default_factory=list)
    mention_everyone: bool = False
    tts: bool = False
    edited_timestamp: float | None = None
    reference: dict[str, Any] | None = None
    nonce: str | int | None = None
    from_interaction: bool = False
    interaction_metadata: dict[str, Any] | None = None
    viewer_id: str | None = None
    """Whoever alone sees this ephemeral message; None where everybody in the channel does."""


@dataclass
class Command:
    """`body` is Discord's application command object, with its id and version."""

    id: str
    guild_id: str | None
    body: dict[str, Any]


@dataclass
class Interaction:
    id: str
    token: str
    type: int
    user_id: str
    channel_id: str
    data: dict[str, Any]
    locale: str
    message_id: str | None = None
    """The message whose component was used, or on which the submitted modal was opened."""
    state: str = "pending"
    """pending, acknowledged, or failed once three seconds have passed without an answer."""
    response_type: int | None = None
    response_message_id: str | None = None
    modal: dict[str, Any] | None = None
    """What a modal answer opened: custom_id, title, components."""
    parent_metadata: dict[str, Any] | None = None
    """Of a modal submit: the metadata of the interaction that opened it."""


class Row(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows of one kind by id. Change a row freely, then `put` it: that is what makes it last."""

    def __init__(self, store: Store, row_type: type[R]) -> None:
        self._store = store
        self._kind = row_type.__name__.lower()
        self._row_type = row_type
        self._rows: dict[str, R] = {}

    def get(self, row_id: str | None) -> R | None:
        return None if row_id is None else self._rows.get(row_id)

    def __getitem__(self, row_id: str) -> R:
        return self._rows[row_id]

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._rows.values()))

    def put(self, row: R) -> R:
        self._rows[row.id] = row
        self._store.put(self._kind, row.id, vars(row))
        return row

    def delete(self, row_id: str) -> None:
        if self._rows.pop(row_id, None) is not None:
            self._store.delete(self._kind, row_id)

    def load(self, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
        self._rows = {row_id: self._row_type(**body) for kind, row_id, body in rows if kind == self._kind}


@dataclass
class Secrets:
    """Made at random on the first start and kept, so that open tabs, tokens and signed URLs outlive a restart."""

    id: str
    bot_token: str
    page_key: str
    signing_key: str
    verify_key: str


class State:
    def __init__(self, store: Store, clock: Clock, snowflakes: Snowflakes) -> None:
        self.store = store
        self.clock = clock
        self.timers = Timers(clock)
        self.snowflakes = snowflakes
        self.users = Table(store, User)
        self.members = Table(store, Member)
        self.roles = Table(store, Role)
        self.guilds = Table(store, Guild)
        self.channels = Table(store, Channel)
        self.messages = Table(store, Message)
        self.attachments = Table(store, Attachment)
        self.commands = Table(store, Command)
        self.interactions = Table(store, Interaction)
        self._secrets = Table(store, Secrets)
        self._messages_of: dict[str, list[int]] = {}

    async def load(self) -> None:
        rows = await self.store.load()
        tables: tuple[Table[Any], ...] = (self.users, self.members, self.roles, self.guilds, self.channels)
        tables += (self.messages, self.attachments, self.commands, self.interactions, self._secrets)
        try:
            for table in tables:
                table.load(rows)
            for message in self.messages:
                self._messages_of.setdefault(message.channel_id, []).append(int(message.id))
            if rows and not (len(list(self._secrets)) == len(list(self.guilds)) == 1):
                raise ValueError("there is not one guild in it")
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"The playground's state was kept by another version of Fourfold ({error}). Start afresh with --reset."
            ) from error
        for _, row_id, _ in rows:
            if row_id.isdecimal():
                self.snowflakes.seen(row_id)
        for numbers in self._messages_of.values():
            numbers.sort()
        if not rows:
            self._found_guild()
        self._forget_stale()
        await self._delete_unknown_files()
        await self.store.flush()

    @property
    def guild(self) -> Guild:
        return next(iter(self.guilds))

    @property
    def secrets(self) -> Secrets:
        return next(iter(self._secrets))

    @property
    def bot(self) -> User:
        return self.users[self.application_id]

    @property
    def application_id(self) -> str:
        return self.secrets.id

    @property
    def people(self) -> list[User]:
        return [user for user in self.users if not user.bot]

    def reset_bot_token(self) -> None:
        self._secrets.put(replace(self.secrets, bot_token=secrets.token_urlsafe(32)))

    def dm_channel(self, user_id: str) -> Channel | None:
        return next((channel for channel in self.channels if channel.recipient_id == user_id), None)

    def channels_of(self, user_id: str) -> list[Channel]:
        """The guild's channels in their order, then the direct message channel of this member."""
        guild = sorted((c for c in self.channels if c.guild_id is not None), key=lambda c: c.position)
        return guild + [channel for channel in self.channels if channel.recipient_id == user_id]

    def add_message(self, message: Message) -> None:
        bisect.insort(self._messages_of.setdefault(message.channel_id, []), int(message.id))
        self.messages.put(message)
        if message.viewer_id is None and (channel := self.channels.get(message.channel_id)):
            channel.last_message_id = message.id
            self.channels.put(channel)

    def remove_message(self, message: Message) -> None:
        self._messages_of[message.channel_id].remove(int(message.id))
        self.messages.delete(message.id)

    def newest_first(self, channel_id: str, *, before: int | None = None) -> Iterator[Message]:
        """A channel's messages older than `before`, everybody's ephemeral ones included."""
        numbers = self._messages_of.get(channel_id, [])
        end = len(numbers) if before is None else bisect.bisect_left(numbers, before)
        for index in range(end - 1, -1, -1):
            yield self.messages[str(numbers[index])]

    def oldest_first(self, channel_id: str, *, since: int = 0) -> Iterator[Message]:
        """A channel's messages from the id `since` on, everybody's ephemeral ones included."""
        numbers = self._messages_of.get(channel_id, [])
        for index in range(bisect.bisect_left(numbers, since), len(numbers)):
            yield self.messages[str(numbers[index])]

    def remove_channel(self, channel: Channel) -> None:
        for message in self.oldest_first(channel.id):
            for attachment_id in message.attachment_ids:
                self.attachments.delete(attachment_id)
                self.store.delete_file(attachment_id)
            self.messages.delete(message.id)
        self._messages_of.pop(channel.id, None)
        self.channels.delete(channel.id)

    def _found_guild(self) -> None:
        new, now = self.snowflakes.next, self.clock.now()
        guild_id, bot_id = new(), new()
        self._secrets.put(
            Secrets(
                bot_id,
                secrets.token_urlsafe(32),
                secrets.token_urlsafe(24),
                secrets.token_hex(32),
                secrets.token_hex(32),
            )
        )
        bot_role = self.roles.put(Role(new(), "Fourfold", INVITE_PERMISSIONS, 2, bot_id=bot_id))
        admin_role = self.roles.put(Role(new(), "Moderator", ADMIN_PERMISSIONS, 1, color=0xE67E22))
        self.roles.put(Role(guild_id, "@everyone", MEMBER_PERMISSIONS, 0))
        self.users.put(User(bot_id, "Fourfold", None, "#5b6cff", bot=True))
        self.members.put(Member(bot_id, None, [bot_role.id], now))
        people = (
            ("mia", "Mia", "#d1587f"),
            ("theo", "Theo", "#2a9d8f"),
            ("yuki", "Yuki", "#8a63d2"),
            ("robin", "Robin", "#e07a3f"),
        )
        for username, name, color in people:
            user = self.users.put(User(new(), username, name, color))
            self.members.put(Member(user.id, None, [admin_role.id] if username == "robin" else [], now))
            self.channels.put(Channel(new(), 1, recipient_id=user.id))
        self.guilds.put(
            Guild(guild_id, "The Studio", next(u.id for u in self.people if u.username == "robin"), "#5b6cff")
        )
        channels = (
            ("general", "Say what you would like to see", False),
            ("gallery", "Pictures worth a second look", False),
            ("after-dark", "Age-restricted", True),
        )
        for position, (name, topic, nsfw) in enumerate(channels):
            self.channels.put(Channel(new(), 0, name, topic, position, nsfw, guild_id))

    def forget_expired_interactions(self) -> None:
        """Drop those whose token has died; they are oldest first, so this stops at the first live one."""
        for interaction in self.interactions:
            if self.clock.now() - created_at(interaction.id) <= INTERACTION_LIFETIME:
                break
            self.interactions.delete(interaction.id)

    def _forget_stale(self) -> None:
        """Drop what nothing shows any more, now and every hour."""
        self.forget_expired_interactions()
        for attachment in self.attachments:
            if attachment.message_id is None:
                stale = self.clock.now() - created_at(attachment.id) > UPLOAD_LIFETIME
            else:
                stale = self.messages.get(attachment.message_id) is None
            if stale:
                self.attachments.delete(attachment.id)
                self.store.delete_file(attachment.id)
        self.timers.later(FORGET_EVERY, self._forget_stale)

    async def _delete_unknown_files(self) -> None:
        for name in await self.store.file_names():
            if self.attachments.get(name) is None:
                self.store.delete_file(name)
