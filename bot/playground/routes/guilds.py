"""The guild, its channels, roles and members."""

from __future__ import annotations

from aiohttp import web

from bot.playground import errors
from bot.playground.routes.request import json_response
from bot.playground.services import Services


def add_routes(routes: web.RouteTableDef, services: Services) -> None:
    state, rendering = services.state, services.rendering

    def check_guild(request: web.Request) -> None:
        if request.match_info["guild_id"] != state.guild.id:
            raise errors.unknown_guild()

    @routes.get("/guilds/{guild_id}")
    async def guild(request: web.Request) -> web.Response:
        check_guild(request)
        found = rendering.guild()
        if request.query.get("with_counts") in ("1", "true"):
            members = len(list(state.members))
            found |= {"approximate_member_count": members, "approximate_presence_count": members}
        return json_response(found)

    @routes.get("/guilds/{guild_id}/channels")
    async def channels(request: web.Request) -> web.Response:
        check_guild(request)
        return json_response([rendering.channel(c) for c in state.channels if c.guild_id is not None])

    @routes.get("/guilds/{guild_id}/roles")
    async def roles(request: web.Request) -> web.Response:
        check_guild(request)
        return json_response([rendering.role(role) for role in state.roles])

    @routes.get("/guilds/{guild_id}/members/{user_id}")
    async def member(request: web.Request) -> web.Response:
        check_guild(request)
        found = state.members.get(request.match_info["user_id"])
        if found is None:
            raise errors.unknown_member()
        return json_response(rendering.member(found))
