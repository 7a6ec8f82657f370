"""The application itself, its commands, and where its gateway is."""

from __future__ import annotations

from aiohttp import web

from bot.playground import errors
from bot.playground.errors import FormErrors
from bot.playground.routes.request import json_response, read_body
from bot.playground.services import Services
from bot.playground.validation import check_form


def add_routes(routes: web.RouteTableDef, services: Services) -> None:
    def guild_of(request: web.Request) -> str | None:
        """The guild in the path, if the route has one; raises where application or guild are not the bot's own."""
        if request.match_info["application_id"] != services.state.application_id:
            raise errors.DiscordError(
                403, 20012, "You are not authorized to perform this action on this application"
            )
        guild_id = request.match_info.get("guild_id")
        if guild_id is not None and services.state.guilds.get(guild_id) is None:
            raise errors.missing_access()
        return guild_id

    @routes.get("/oauth2/applications/@me")
    @routes.get("/applications/@me")
    async def application(request: web.Request) -> web.Response:
        return json_response(services.rendering.application())

    @routes.get("/applications/{application_id}/commands")
    @routes.get("/applications/{application_id}/guilds/{guild_id}/commands")
    async def commands(request: web.Request) -> web.Response:
        return json_response(services.commands.listing(guild_of(request)))

    @routes.put("/applications/{application_id}/commands")
    @routes.put("/applications/{application_id}/guilds/{guild_id}/commands")
    async def replace_commands(request: web.Request) -> web.Response:
        body = await read_body(request)
        return json_response(services.commands.replace(guild_of(request), body.payload))

    @routes.get("/gateway")
    async def gateway(request: web.Request) -> web.Response:
        return json_response({"url": services.gateway.url})

    @routes.get("/gateway/bot")
    async def gateway_bot(request: web.Request) -> web.Response:
        return json_response(
            {
                "url": services.gateway.url,
                "shards": services.gateway.shards,
                "session_start_limit": services.rate_limits.session_start_limit(),
            }
        )

    @routes.post("/attachments/refresh-urls")
    async def refresh_urls(request: web.Request) -> web.Response:
        body = await read_body(request)
        problems = FormErrors()
        check_form("refresh", body.payload, (), problems)
        problems.raise_if_any()
        refreshed = []
        for url in body.payload["attachment_urls"]:
            attachment = services.attachments.from_url(url)
            refreshed.append(
                {"original": url, "refreshed": attachment and services.attachments.url(attachment)}
            )
        return json_response({"refreshed_urls": refreshed})
