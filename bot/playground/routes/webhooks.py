"""Interaction callbacks and everything done with an interaction token: the original answer and follow-ups."""

from __future__ import annotations

from aiohttp import web

from bot.playground.routes.request import json_response, no_content, read_body
from bot.playground.services import Services
from bot.playground.state import Interaction, Message


def add_routes(routes: web.RouteTableDef, services: Services) -> None:
    rendering, interactions, messages = services.rendering, services.interactions, services.messages

    def interaction_of(request: web.Request) -> Interaction:
        return interactions.with_token(request.match_info["application_id"], request.match_info["token"])

    def message_of(request: web.Request, interaction: Interaction) -> Message:
        return interactions.message(interaction, request.match_info["message_id"])

    @routes.post("/interactions/{interaction_id}/{token}/callback")
    async def callback(request: web.Request) -> web.Response:
        body = await read_body(request, upload_limit=rendering.upload_limit())
        interaction_id, token = request.match_info["interaction_id"], request.match_info["token"]
        response = await interactions.respond(interaction_id, token, body.payload, body.files)
        if request.query.get("with_response") in ("1", "true", "True"):
            return json_response(response)
        return no_content()

    @routes.post("/webhooks/{application_id}/{token}")
    async def follow_up(request: web.Request) -> web.Response:
        interaction = interaction_of(request)
        body = await read_body(request, upload_limit=rendering.upload_limit())
        return json_response(
            rendering.message(await interactions.follow_up(interaction, body.payload, body.files))
        )

    @routes.get("/webhooks/{application_id}/{token}/messages/{message_id}")
    async def one(request: web.Request) -> web.Response:
        return json_response(rendering.message(message_of(request, interaction_of(request))))

    @routes.patch("/webhooks/{application_id}/{token}/messages/{message_id}")
    async def edit(request: web.Request) -> web.Response:
        interaction = interaction_of(request)
        message = message_of(request, interaction)
        body = await read_body(request, upload_limit=rendering.upload_limit())
        return json_response(
            rendering.message(await interactions.edit(interaction, message, body.payload, body.files))
        )

    @routes.delete("/webhooks/{application_id}/{token}/messages/{message_id}")
    async def delete(request: web.Request) -> web.Response:
        messages.delete(message_of(request, interaction_of(request)))
        return no_content()
