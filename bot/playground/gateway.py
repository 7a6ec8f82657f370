"""The bot's WebSocket: HELLO, IDENTIFY, heartbeats, dispatch by intents and shard, RESUME from a buffer, op 7 and 9."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import zlib
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from bot.playground.bot_events import GUILD_MEMBERS, GUILDS, MESSAGE_CONTENT, PRESENCES
from bot.playground.events import Events, PresenceChanged
from bot.playground.faults import Faults
from bot.playground.rate_limits import IDENTIFIES, RateLimits
from bot.playground.rendering import Rendering
from bot.playground.state import State
from bot.playground.strict_json import parse_json

Json = dict[str, Any]

logger = logging.getLogger(__name__)

PRIVILEGED = GUILD_MEMBERS | PRESENCES | MESSAGE_CONTENT
EVERY_INTENT = (1 << 26) - 1

HEARTBEAT_SECONDS = 41.25
HEARTBEAT_SLACK = 1.0
"""Seconds by which a heartbeat may be off before it counts as late."""
ACK_DELAY = 0.05
"""Seconds on the way to Discord and back."""
SILENCE_ALLOWED = 1.5
"""Heartbeats' worth of silence after which a connection counts as dead."""
BUFFERED_EVENTS = 2000
"""Events kept per session for a resume; a session that missed more must identify anew."""
RESUME_WITHIN = 300.0
"""Seconds for which a session without a socket can be resumed."""
QUEUED_FRAMES = 2 * BUFFERED_EVENTS
"""Frames that may wait for a client that does not read; one more and it is cut off, and may resume."""
SENDS_PER_MINUTE = 120

# Opcodes
DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, MEMBERS, INVALID, HELLO, ACK = 7, 8, 9, 10, 11


@dataclass
class Session:
    id: str
    shard: tuple[int, int]
    intents: int
    sequence: int = 0
    sent: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=BUFFERED_EVENTS))
    socket: Socket | None = None
    detached_at: float = 0.0


class Gateway:
    def __init__(
        self, state: State, rendering: Rendering, events: Events, faults: Faults, rate_limits: RateLimits
    ) -> None:
        self._state = state
        self._rendering = rendering
        self._events = events
        self._faults = faults
        self._clock = state.clock
        self._rate_limits = rate_limits
        self._sessions: dict[str, Session] = {}
        self._sockets: set[Socket] = set()
        self.allowed_intents = EVERY_INTENT & ~PRIVILEGED
        self.url = ""
        self.shards = 1
        """The shard count that `GET /gateway/bot` recommends."""
        self.identifies = 0
        """How many IDENTIFYs were accepted since the start."""
        self.late_heartbeats = 0
        """How many came over HEARTBEAT_SLACK after their time since the start."""
        self._was_online = False
        faults.bind(self.drop_sockets, self.ask_to_reconnect)

    @property
    def online(self) -> bool:
        return any(session.socket is not None for session in self._sessions.values())

    def dispatch(
        self,
        name: str,
        data: Json,
        *,
        guild_id: str | None,
        intents: int = 0,
        content_hidden: Json | None = None,
    ) -> None:
        """Send an event to the sessions of its shard that asked for it; `content_hidden` to those without message content."""
        for session in self._sessions.values():
            shard_id, shard_count = session.shard
            home = (int(guild_id) >> 22) % shard_count if guild_id is not None else 0
            if home != shard_id or (intents and not session.intents & intents):
                continue
            hidden = content_hidden is not None and not session.intents & MESSAGE_CONTENT
            self._send_event(session, name, content_hidden if hidden and content_hidden is not None else data)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        socket = Socket(ws, request.transport, request.query.get("compress"))
        socket.heartbeat_due = self._clock.now() + HEARTBEAT_SECONDS
        self._sockets.add(socket)
        writing = asyncio.create_task(socket.write_queued())
        socket.send(
            {
                "op": HELLO,
                "d": {"heartbeat_interval": int(HEARTBEAT_SECONDS * 1000), "_trace": []},
                "s": None,
                "t": None,
            }
        )
        try:
            await self._converse(socket)
        finally:
            self._sockets.discard(socket)
            self._detach(socket)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return ws

    def drop_sockets(self) -> int:
        sockets = list(self._sockets)
        for socket in sockets:
            socket.abort()
        return len(sockets)

    def ask_to_reconnect(self) -> int:
        for socket in self._sockets:
            socket.send({"op": RECONNECT, "d": None, "s": None, "t": None})
        return len(self._sockets)

    async def close(self, code: int = 1001, reason: bytes = b"Going away") -> None:
        await asyncio.gather(*(socket.close(code, reason) for socket in self._sockets))

    async def _converse(self, socket: Socket) -> None:
        sends: deque[float] = deque()
        while True:
            try:
                message = await socket.ws.receive(timeout=HEARTBEAT_SECONDS * SILENCE_ALLOWED)
            except TimeoutError:
                await socket.close(4009, b"Session timed out.")
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            now = self._clock.now()
            sends.append(now)
            while sends[0] < now - 60:
                sends.popleft()
            if len(sends) > SENDS_PER_MINUTE:
                await socket.close(4008, b"Rate limited.")
                return
            try:
                frame = parse_json(message.data)
                op, data = frame["op"], frame.get("d")
            except (ValueError, TypeError, KeyError):
                await socket.close(4002, b"Error while decoding payload.")
                return
            if (refusal := await self._receive(socket, op, data)) is not None:
                await socket.close(*refusal)
                return

    async def _receive(self, socket: Socket, op: object, data: Any) -> tuple[int, bytes] | None:
        """Answer one frame; returns the code and reason to close with, if any."""
        if op == HEARTBEAT:
            now = self._clock.now()
            self.late_heartbeats += now > socket.heartbeat_due + HEARTBEAT_SLACK
            socket.heartbeat_due = now + HEARTBEAT_SECONDS
            # Over loopback an answer at once would come before discord.py has noted that it asked, and it would log
            # that it is a whole interval behind. Discord itself is never this near.
            asyncio.get_running_loop().call_later(
                ACK_DELAY, socket.send, {"op": ACK, "d": None, "s": None, "t": None}
            )
            return None
        if op in (IDENTIFY, RESUME):
            if socket.session is not None:
                return 4005, b"Already authenticated."
            token = str(data.get("token")) if isinstance(data, dict) else ""
            if token.removeprefix("Bot ") != self._state.secrets.bot_token:
                return 4004, b"Authentication failed."
            return await self._identify(socket, data) if op == IDENTIFY else self._resume(socket, data)
        if socket.session is None:
            return 4003, b"Not authenticated."
        if op == MEMBERS and isinstance(data, dict):
            self._send_members(socket.session, data)
        elif op not in (PRESENCE, VOICE, MEMBERS):
            return 4001, b"Unknown opcode."
        return None

    async def _identify(self, socket: Socket, data: Json) -> tuple[int, bytes] | None:
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~EVERY_INTENT:
            return 4013, b"Invalid intent(s)."
        if intents & ~self.allowed_intents:
            return 4014, b"Disallowed intent(s)."
        shard = data.get("shard") or [0, 1]
        whole = isinstance(shard, list) and all(isinstance(number, int) for number in shard)
        if not (whole and len(shard) == 2 and 0 <= shard[0] < shard[1]):
            return 4010, b"Invalid shard."
        if not self._rate_limits.take_identify():
            # What Discord does to a bot that starts over and over: every session ends, and its owner has to fetch another token.
            logger.warning("The bot has used up its %d IDENTIFYs of a day; its token is reset.", IDENTIFIES)
            self._state.reset_bot_token()
            self._sessions.clear()
            await self.close(4004, b"Authentication failed.")
            return 4004, b"Authentication failed."
        for other in list(self._sessions.values()):
            # A new process of the bot has taken this shard over; the old session would only hoard events.
            if other.socket is None and other.shard[0] == shard[0]:
                del self._sessions[other.id]
        session = Session(secrets.token_hex(16), (shard[0], shard[1]), intents)
        self._sessions[session.id] = session
        self.identifies += 1
        session.socket, socket.session = socket, session
        guild = self._state.guild
        here = (int(guild.id) >> 22) % shard[1] == shard[0]
        ready = {
            "v": 10,
            "user": self._rendering.own_user(self._state.bot),
            "guilds": [{"id": guild.id, "unavailable": True}] if here else [],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "session_type": "normal",
            "private_channels": [],
            "relationships": [],
            "shard": shard,
            "application": {"id": self._state.application_id, "flags": 0},
            "_trace": [],
        }
        self._send_event(session, "READY", ready)
        if here and intents & GUILDS:
            members = bool(intents & GUILD_MEMBERS)
            self._send_event(session, "GUILD_CREATE", self._rendering.guild_create(with_members=members))
        self._tell_presence()
        return None

    def _resume(self, socket: Socket, data: Json) -> tuple[int, bytes] | None:
        session = self._sessions.get(str(data.get("session_id")))
        seen = data.get("seq") or 0
        if not isinstance(seen, int):
            return 4007, b"Invalid seq."
        refused = self._faults.resumes_to_refuse > 0
        self._faults.resumes_to_refuse -= refused
        if (
            session is None
            or refused
            or (session.sent and session.sent[0][0] > seen + 1)
            or seen > session.sequence
        ):
            self._sessions.pop(str(data.get("session_id")), None)
            socket.send({"op": INVALID, "d": False, "s": None, "t": None})
            return None
        if session.socket is not None:
            session.socket.session = None
            session.socket.abort()
        session.socket, socket.session = socket, session
        for sequence, text in session.sent:
            if sequence > seen:
                socket.send_text(text)
        self._send_event(session, "RESUMED", {"_trace": []})
        self._tell_presence()
        return None

    def _detach(self, socket: Socket) -> None:
        session = socket.session
        if session is not None and session.socket is socket:
            session.socket = None
            session.detached_at = self._clock.now()
            forget = partial(self._forget, session, session.detached_at)
            self._state.timers.later(RESUME_WITHIN, forget)
            # A client that says goodbye with 1000 or 1001 ends its session; any other end can be resumed.
            if socket.ws.close_code in (1000, 1001) and not socket.closed_by_us:
                self._sessions.pop(session.id, None)
        self._tell_presence()

    def _forget(self, session: Session, detached_at: float) -> None:
        # It may have been resumed since, and lost its socket again.
        if session.socket is None and session.detached_at == detached_at:
            self._sessions.pop(session.id, None)

    def _tell_presence(self) -> None:
        if self.online != self._was_online:
            self._was_online = self.online
            self._events.publish(PresenceChanged(self.online))

    def _send_event(self, session: Session, name: str, data: Json) -> None:
        session.sequence += 1
        text = json.dumps({"op": DISPATCH, "t": name, "s": session.sequence, "d": data})
        session.sent.append((session.sequence, text))
        if session.socket is not None:
            session.socket.send_text(text)

    def _send_members(self, session: Session, data: Json) -> None:
        wanted = (
            {str(i) for i in data.get("user_ids") or ()} if isinstance(data.get("user_ids"), list) else None
        )
        if isinstance(data.get("user_ids"), str):
            wanted = {data["user_ids"]}
        query = str(data.get("query") or "").lower()
        found = [
            self._rendering.member(member)
            for member in self._state.members
            if (
                member.user_id in wanted
                if wanted is not None
                else self._state.users[member.user_id].username.startswith(query)
            )
        ]
        chunk: Json = {"guild_id": self._state.guild.id, "members": found, "not_found": []}
        chunk |= {"chunk_index": 0, "chunk_count": 1}
        if data.get("nonce") is not None:
            chunk["nonce"] = data["nonce"]
        self._send_event(session, "GUILD_MEMBERS_CHUNK", chunk)


class Socket:
    """One connection; everything goes through a queue, so that sending never waits and order holds."""

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport | None, compress: str | None
    ) -> None:
        self.ws = ws
        self.session: Session | None = None
        self.heartbeat_due = 0.0
        """When the next heartbeat has to be here, by the stand-in's clock."""
        self.closed_by_us = False
        self._transport = transport
        # One zlib context per connection, flushed after each message. A client that asks for zstd-stream (discord.py
        # where zstandard is installed) gets plain text frames: Python 3.11 has no zstd of its own, a dependency only
        # for compression over loopback would gain nobody anything, and discord.py reads text frames whatever it asked for.
        self._deflate = zlib.compressobj() if compress == "zlib-stream" else None
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUED_FRAMES)

    def send(self, frame: Json) -> None:
        self.send_text(json.dumps(frame))

    def send_text(self, text: str) -> None:
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.abort()

    async def write_queued(self) -> None:
        while True:
            text = await self._queue.get()
            try:
                if self._deflate is None:
                    await self.ws.send_str(text)
                else:
                    data = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(data)
            except ConnectionError:
                return

    async def close(self, code: int, reason: bytes) -> None:
        self.closed_by_us = True
        await self.ws.close(code=code, message=reason)

    def abort(self) -> None:
        """As when a cable is pulled: no close frame."""
        if self._transport is not None:
            self._transport.abort()
