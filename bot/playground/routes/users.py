"""Users and direct message channels."""

from __future__ import annotations

from aiohttp import web

from bot.playground import errors
from bot.playground.errors import FormErrors
from bot.playground.events import ChannelCreated
from bot.playground.routes.request import json_response, read_body
from bot.playground.services import Services
from bot.playground.state import Channel
from bot.playground.validation import check_form


def add_routes(routes: web.RouteTableDef, services: Services) -> None:
    state, rendering = services.state, services.rendering

    @routes.get("/users/@me")
    async def me(request: web.Request) -> web.Response:
        return json_response(rendering.own_user(state.bot))

    @routes.get("/users/@me/guilds")
    async def my_guilds(request: web.Request) -> web.Response:
        guild = {
            name: value
            for name, value in rendering.guild().items()
            if name in ("id", "name", "icon", "banner", "features")
        }
        permissions = 0
        for role in state.roles:
            if role.bot_id is not None or role.id == state.guild.id:
                permissions |= role.permissions
        return json_response([guild | {"owner": False, "permissions": str(permissions)}])

    @routes.get("/users/{user_id}")
    async def user(request: web.Request) -> web.Response:
        found = state.users.get(request.match_info["user_id"])
        if found is None:
            raise errors.unknown_user()
        return json_response(rendering.user(found))

    @routes.post("/users/@me/channels")
    async def open_direct_messages(request: web.Request) -> web.Response:
        body = await read_body(request)
        problems = FormErrors()
        check_form("direct message", body.payload, (), problems)
        problems.raise_if_any()
        recipient = state.users.get(str(body.payload["recipient_id"]))
        if recipient is None:
            raise errors.unknown_user()
        if recipient.bot:
            raise errors.closed_direct_messages()
        channel = state.dm_channel(recipient.id)
        if channel is None:
            channel = state.channels.put(Channel(state.snowflakes.next(), 1, recipient_id=recipient.id))
            services.events.publish(ChannelCreated(channel))
        return json_response(rendering.channel(channel))
