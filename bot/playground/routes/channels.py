"""Channels and their messages, as the bot's own token may use them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.playground import errors
from bot.playground.bot_events import MESSAGE_CONTENT
from bot.playground.errors import form_error
from bot.playground.events import TypingStarted
from bot.playground.permissions import Permission
from bot.playground.routes.request import json_response, no_content, query_integer, read_body
from bot.playground.services import Services
from bot.playground.state import Channel, Message

Json = dict[str, Any]


def add_routes(routes: web.RouteTableDef, services: Services) -> None:
    state, rendering, messages = services.state, services.rendering, services.messages

    def channel_of(request: web.Request, *needed: Permission) -> Channel:
        """The channel in the path, where the bot sees it and has every permission in `needed`."""
        channel = state.channels.get(request.match_info["channel_id"])
        if channel is None:
            raise errors.unknown_channel()
        granted = rendering.permissions(state.application_id, channel)
        if not granted & Permission.VIEW_CHANNEL:
            raise errors.missing_access()
        if any(not granted & permission for permission in needed):
            raise errors.missing_permissions()
        return channel

    def message_of(request: web.Request, channel: Channel) -> Message:
        return messages.get(channel, request.match_info["message_id"])

    def embeddable(channel: Channel, payload: Any) -> Any:
        """Without the permission for them, Discord leaves embeds out and says nothing."""
        if rendering.permissions(state.application_id, channel) & Permission.EMBED_LINKS:
            return payload
        if not isinstance(payload, dict) or not payload.get("embeds"):
            return payload
        return {name: value for name, value in payload.items() if name != "embeds"}

    def shown(message: Message) -> Json:
        rendered = rendering.message(message)
        reads = services.gateway.allowed_intents & MESSAGE_CONTENT
        return rendered if reads else rendering.without_content(message, rendered)

    @routes.get("/channels/{channel_id}")
    async def channel(request: web.Request) -> web.Response:
        return json_response(rendering.channel(channel_of(request)))

    @routes.get("/channels/{channel_id}/messages")
    async def history(request: web.Request) -> web.Response:
        found = channel_of(request)
        limit = query_integer(request, "limit")
        limit = 50 if limit is None else limit
        if not 1 <= limit <= 100:
            raise form_error(("limit",), "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        if not rendering.permissions(state.application_id, found) & Permission.READ_MESSAGE_HISTORY:
            return json_response([])
        before, after, around = (query_integer(request, name) for name in ("before", "after", "around"))
        listed = messages.listing(found, limit=limit, before=before, after=after, around=around)
        return json_response([shown(message) for message in listed])

    @routes.post("/channels/{channel_id}/messages")
    async def create(request: web.Request) -> web.Response:
        found = channel_of(request, Permission.SEND_MESSAGES)
        limit = rendering.upload_limit(found)
        body = await read_body(request, upload_limit=limit)
        if body.files:
            channel_of(request, Permission.ATTACH_FILES)
        recipient = state.users.get(found.recipient_id)
        if recipient is not None and not recipient.accepts_dms:
            raise errors.closed_direct_messages()
        payload = embeddable(found, body.payload)
        if payload != body.payload and not (
            payload.get("content") or payload.get("components") or body.files
        ):
            raise errors.missing_permissions()
        message = await messages.create(
            messages.draft(found.id, state.application_id),
            payload,
            body.files,
            upload_limit=limit,
            enforce_nonce=True,
        )
        return json_response(rendering.message(message))

    @routes.get("/channels/{channel_id}/messages/{message_id}")
    async def one(request: web.Request) -> web.Response:
        found = channel_of(request, Permission.READ_MESSAGE_HISTORY)
        return json_response(shown(message_of(request, found)))

    @routes.patch("/channels/{channel_id}/messages/{message_id}")
    async def edit(request: web.Request) -> web.Response:
        found = channel_of(request)
        message = message_of(request, found)
        if message.author_id != state.application_id:
            raise errors.not_the_author()
        services.rate_limits.take_old_edit(found.id, services.clock.now() - message.timestamp)
        limit = rendering.upload_limit(found)
        body = await read_body(request, upload_limit=limit)
        if body.files:
            channel_of(request, Permission.ATTACH_FILES)
        payload = embeddable(found, body.payload)
        return json_response(
            rendering.message(await messages.edit(message, payload, body.files, upload_limit=limit))
        )

    @routes.delete("/channels/{channel_id}/messages/{message_id}")
    async def delete(request: web.Request) -> web.Response:
        found = channel_of(request)
        message = message_of(request, found)
        if message.author_id != state.application_id:
            channel_of(request, Permission.MANAGE_MESSAGES)
            if found.guild_id is None:
                raise errors.DiscordError(403, 50003, "Cannot execute action on a DM channel")
        messages.delete(message)
        return no_content()

    @routes.post("/channels/{channel_id}/typing")
    async def typing(request: web.Request) -> web.Response:
        found = channel_of(request, Permission.SEND_MESSAGES)
        services.events.publish(TypingStarted(found, state.application_id))
        return no_content()
