"""The page's WebSocket: one per open tab, which acts as a member of the guild."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import Any

from aiohttp import WSMsgType, web

from bot.playground.errors import DiscordError
from bot.playground.events import (
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    CommandsChanged,
    Event,
    MessageCreated,
    MessageDeleted,
    MessageUpdated,
    PresenceChanged,
    ResponseOverdue,
    TypingStarted,
)
from bot.playground.interactions import Answer
from bot.playground.permissions import ADMIN_PERMISSIONS
from bot.playground.rendering import LOADING
from bot.playground.services import Services
from bot.playground.state import INTERACTION_LIFETIME
from bot.playground.strict_json import parse_json

Json = dict[str, Any]

logger = logging.getLogger(__name__)

_FIELDS = {
    **dict.fromkeys(
        ("channel_id", "command_id", "message_id", "interaction_id", "target_id", "user_id"), str
    ),
    **dict.fromkeys(("custom_id", "content", "before"), str),
    **dict.fromkeys(("options", "values", "components"), list),
}
"""The kind of each field that a page's frames may have."""


class Tab:
    """One open page; `user_id` is the member it acts as."""

    def __init__(self, services: Services, ws: web.WebSocketResponse) -> None:
        self.ws = ws
        self.user_id = services.state.people[0].id
        self._services = services
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def converse(self) -> None:
        writing = asyncio.create_task(self._write())
        self._greet()
        try:
            async for message in self.ws:
                if message.type is not WSMsgType.TEXT:
                    break
                self._receive(message.data)
        finally:
            for task in (writing, *self._tasks):
                task.cancel()
            await asyncio.gather(writing, *self._tasks, return_exceptions=True)

    def show(self, event: Event) -> None:
        """Send what this member may see of an event."""
        services = self._services
        match event:
            case MessageCreated(message) | MessageUpdated(message) if services.members.sees(
                self.user_id, message
            ):
                op = "message_create" if isinstance(event, MessageCreated) else "message_update"
                self._send({"op": op, "message": services.rendering.message(message)})
            case MessageDeleted(message) if services.members.sees(self.user_id, message):
                self._send({"op": "message_delete", "channel_id": message.channel_id, "id": message.id})
            case CommandsChanged():
                self._send({"op": "commands", "commands": services.commands.for_member(self.user_id)})
            case PresenceChanged(bot_online):
                self._send({"op": "presence", "bot_online": bot_online})
            case TypingStarted(channel, user_id) if channel.recipient_id in (None, self.user_id):
                self._send({"op": "typing", "channel_id": channel.id, "user_id": user_id})
            case ChannelCreated(channel) if channel.recipient_id in (None, self.user_id):
                self._send({"op": "channel_create", "channel": services.rendering.channel(channel)})
            case ChannelUpdated() | ChannelDeleted():
                self._greet()
            case ResponseOverdue(message) if services.members.sees(self.user_id, message):
                self._send({"op": "failed", "n": None, "message_id": message.id})

    def _receive(self, text: str) -> None:
        n: object = None
        try:
            frame = parse_json(text)
            n = frame.get("n")
            _check_types(frame)
            self._act(frame, n)
        except DiscordError as error:
            self._refuse(n, error)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._refuse(n, DiscordError(400, 50109, f"This frame cannot be read: {error!r}"))

    def _act(self, frame: Json, n: object) -> None:
        members, me = self._services.members, self.user_id
        match frame["op"]:
            case "act_as":
                if frame["user_id"] not in [user.id for user in self._services.state.people]:
                    raise DiscordError(404, 10013, "Unknown User")
                self.user_id = frame["user_id"]
                self._greet({"n": n})
            case "slash":
                answer = members.slash(
                    me, frame["channel_id"], frame["command_id"], frame.get("options") or []
                )
                self._later(self._report(n, answer))
            case "complete":
                answer = members.complete(
                    me, frame["channel_id"], frame["command_id"], frame.get("options") or []
                )
                self._later(self._report(n, answer))
            case "context_menu":
                answer = members.context_menu(
                    me, frame["channel_id"], frame["command_id"], frame["target_id"]
                )
                self._later(self._report(n, answer))
            case "click":
                answer = members.click(me, frame["channel_id"], frame["message_id"], frame["custom_id"])
                self._later(self._report(n, answer))
            case "select":
                answer = members.select(
                    me, frame["channel_id"], frame["message_id"], frame["custom_id"], frame["values"]
                )
                self._later(self._report(n, answer))
            case "submit":
                answer = members.submit(me, frame["interaction_id"], frame["custom_id"], frame["components"])
                self._later(self._report(n, answer))
            case "say":
                # Started now: `me` may be another member by the time the message is made.
                self._later(self._confirm(n, members.say(me, frame["channel_id"], frame["content"])))
            case "dismiss":
                members.dismiss(me, frame["message_id"])
                self._later(self._confirm(n))
            case "older":
                messages, more = members.history(me, frame["channel_id"], int(frame["before"]))
                body = {"channel_id": frame["channel_id"], "messages": messages, "more": more}
                self._send({"op": "older", "n": n, **body})
            case op:
                raise DiscordError(400, 50109, f"Unknown op {op!r}")

    async def _confirm(self, n: object, action: Awaitable[object] | None = None) -> None:
        """Answer ok once `action` is done and everything so far would survive a crash."""
        try:
            if action is not None:
                await action
            await self._services.state.store.flush()
        except DiscordError as error:
            self._refuse(n, error)
        except Exception:
            # A full disk or a mistake in this program: the page must hear that it failed, and the log why.
            logger.exception("What a member did failed")
            self._refuse(n, DiscordError(500, 0, "500: Internal Server Error"))
        else:
            self._send({"op": "ok", "n": n})

    async def _report(self, n: object, answer: asyncio.Future[Answer]) -> None:
        result = await answer
        match result.kind:
            case "ok":
                self._send({"op": "ok", "n": n})
            case "choices":
                self._send({"op": "choices", "n": n, "choices": result.choices})
            case "modal":
                self._send(
                    {"op": "modal", "n": n, "interaction_id": result.interaction_id, "modal": result.modal}
                )
            case "failed":
                shown = {} if result.message_id is None else {"message_id": result.message_id}
                self._send({"op": "failed", "n": n, **shown})

    def _greet(self, extra: Json | None = None) -> None:
        """Send hello, and what it cannot say: which deferrals in it will never be answered."""
        hello = self._hello() | (extra or {})
        self._send(hello)
        oldest_live = self._services.clock.now() - INTERACTION_LIFETIME
        for shown in [message for messages in hello["messages"].values() for message in messages]:
            if (
                shown["flags"] & LOADING
                and self._services.state.messages[shown["id"]].timestamp < oldest_live
            ):
                self._send({"op": "failed", "n": None, "message_id": shown["id"]})

    def _hello(self) -> Json:
        services = self._services
        state, rendering = services.state, services.rendering
        channels = state.channels_of(self.user_id)
        admins = {
            role.id for role in state.roles if role.permissions & ADMIN_PERMISSIONS == ADMIN_PERMISSIONS
        }
        return {
            "op": "hello",
            "me": self.user_id,
            "members": [
                {
                    "user": rendering.user(user),
                    "nick": state.members[user.id].nick,
                    "admin": bool(admins & set(state.members[user.id].roles)),
                    "color": user.color,
                }
                for user in state.people
            ],
            "bot": rendering.user(state.bot),
            "guild": {
                "id": state.guild.id,
                "name": state.guild.name,
                "icon_color": state.guild.icon_color,
                "roles": [
                    rendering.role(role)
                    for role in sorted(state.roles, key=lambda role: role.position, reverse=True)
                ],
            },
            "channels": [rendering.channel(channel) for channel in channels],
            "commands": services.commands.for_member(self.user_id),
            "messages": {
                channel.id: services.members.history(self.user_id, channel.id)[0] for channel in channels
            },
            "bot_online": services.gateway.online,
            "upload_limit": rendering.upload_limit(),
        }

    def _refuse(self, n: object, error: DiscordError) -> None:
        errors = {} if error.errors is None else {"errors": error.errors}
        self._send({"op": "error", "n": n, "code": error.code, "message": error.message, **errors})

    def _later(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, frame: Json) -> None:
        self._outgoing.put_nowait(json.dumps(frame))

    async def _write(self) -> None:
        while True:
            text = await self._outgoing.get()
            try:
                await self.ws.send_str(text)
            except ConnectionError:
                return


def _check_types(frame: Json) -> None:
    """Raise unless every field that a frame may have is of its kind."""
    for name, kind in _FIELDS.items():
        if name in frame and not isinstance(frame[name], kind):
            what = "a string" if kind is str else "a list"
            raise DiscordError(400, 50109, f"{name} must be {what}, not {frame[name]!r:.100}")
    for value in frame.get("values", ()):
        if not isinstance(value, str):
            raise DiscordError(400, 50109, f"values must be strings, not {value!r:.100}")
