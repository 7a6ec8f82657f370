"""The one aiohttp application: Host check for all, and for REST v10 faults, tokens, rate limits, errors, exchanges."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from bot.playground import cdn, errors
from bot.playground.errors import DiscordError
from bot.playground.faults import Fault
from bot.playground.page_routes import Page
from bot.playground.rate_limits import RateLimited
from bot.playground.routes import applications, channels, guilds, users, webhooks
from bot.playground.routes.request import json_response
from bot.playground.services import Services

API = "/api"
VERSION = "/v10"
MAXIMUM_BODY = 128 << 20
"""Above the largest upload of any boost tier; nobody, token or not, fills the memory with more."""

_OPEN_PREFIXES = ("/interactions/", "/webhooks/")
"""Routes that carry an interaction token instead of an Authorization header, and are exempt from the global limit."""
_OPEN_ROUTE = "/gateway"
"""The one other route that needs no token."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """One REST request and its reply, as a test's referee sees them; `path` is without /api/v10."""

    method: str
    path: str
    query: str
    request_type: str
    request_body: bytes
    status: int
    response_type: str
    response_body: bytes


class Server:
    def __init__(self, services: Services) -> None:
        self._services = services
        self.observers: list[Callable[[Exchange], None]] = []
        self.invalid_requests = 0
        """401, 403 and 429 answers since the start."""
        self.page = Page(services)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._check_host], client_max_size=MAXIMUM_BODY)
        # An application of its own, so that no spelling of a path reaches a route of it past its middleware.
        api = web.Application(middlewares=[self._discord_api])
        routes = web.RouteTableDef()
        for module in (applications, users, guilds, channels, webhooks):
            module.add_routes(routes, self._services)
        for route in routes:
            assert isinstance(route, web.RouteDef)
            api.router.add_route(route.method, VERSION + route.path, route.handler)
        app.add_subapp(API, api)
        app.router.add_get("/gateway", self._services.gateway.handle)
        app.router.add_get("/gateway/", self._services.gateway.handle)
        cdn.add_routes(app.router, self._services)
        self.page.add_routes(app.router)
        return app

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            host = request.url.host
        except ValueError:  # No host, or no port, at all.
            host = None
        # A page elsewhere whose name was made to resolve to 127.0.0.1 would arrive with its own Host.
        if host not in ("127.0.0.1", "localhost"):
            return web.Response(status=403, text="This address is served on loopback only.")
        return await handler(request)

    @web.middleware
    async def _discord_api(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(API + VERSION)
        if seconds := self._services.rate_limits.banned_for():
            return _turned_away(seconds)
        route = _route(request)
        allowed = route == _OPEN_ROUTE or route.startswith(_OPEN_PREFIXES) or self._has_token(request)
        fault = self._services.faults.take(request.method, path)
        try:
            # A stranger's body is not worth the memory.
            body = await request.read() if allowed else b""
        except web.HTTPRequestEntityTooLarge:
            return error_response(errors.too_large())
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.lose == "request":
                return _hang_up(request)
        response = await self._answer(request, handler, fault, allowed=allowed)
        # A web page elsewhere can make a browser ask here as often as it likes; it must not get the bot banned.
        if response.status in (401, 403, 429) and "Sec-Fetch-Site" not in request.headers:
            self.invalid_requests += 1
            self._services.rate_limits.take_invalid()
        sent = (
            response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
        )
        for observer in self.observers:
            observer(
                Exchange(
                    request.method,
                    path,
                    request.query_string,
                    request.headers.get("Content-Type", ""),
                    body,
                    response.status,
                    response.headers.get("Content-Type", ""),
                    sent,
                )
            )
        if fault is not None and fault.lose == "reply":
            return _hang_up(request)
        return response

    async def _answer(
        self, request: web.Request, handler: Handler, fault: Fault | None, *, allowed: bool
    ) -> web.StreamResponse:
        services = self._services
        headers: dict[str, str] = {}
        try:
            if fault is not None and fault.status is not None:
                raise _injected(fault)
            if not allowed:
                raise errors.unauthorized()
            path = request.path.removeprefix(API + VERSION)
            exempt = _route(request).startswith(_OPEN_PREFIXES)
            headers = services.rate_limits.take(request.method, path, exempt_from_global=exempt)
            response = await handler(request)
            # What the bot is told has happened must survive a crash right after.
            await services.state.store.flush()
        except DiscordError as error:
            response = error_response(error)
        except web.HTTPException as error:
            refusal = DiscordError(error.status, 0, f"{error.status}: {error.reason}")
            response = error_response(refusal)
        except Exception:
            # A mistake in this program must reach the log with its traceback, and the bot as Discord's own 500.
            # The route, because the path itself can hold an interaction's token.
            logger.exception("%s %s failed", request.method, _route(request))
            response = error_response(DiscordError(500, 0, "500: Internal Server Error"))
        response.headers.update(
            {name: value for name, value in headers.items() if name not in response.headers}
        )
        return response

    def _has_token(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return secrets.compare_digest(given, f"Bot {self._services.state.secrets.bot_token}".encode())


def _route(request: web.Request) -> str:
    """The route that was found, as in "/channels/{channel_id}"; the path where none was."""
    resource = request.match_info.route.resource
    found = request.path if resource is None else resource.canonical
    return found.removeprefix(API + VERSION)


def error_response(error: DiscordError) -> web.Response:
    response = json_response(error.body(), status=error.status)
    if isinstance(error, RateLimited):
        response.headers.update(error.headers)
    return response


def _turned_away(seconds: float) -> web.Response:
    """As Discord's edge answers a banned address: no JSON, no `Via`, so that discord.py gives up at once."""
    headers = {"Retry-After": str(math.ceil(seconds))}
    return web.Response(status=429, text="error code: 1015", headers=headers)


def _injected(fault: Fault) -> DiscordError:
    if fault.status == 429:
        return RateLimited(fault.retry_after, {})
    return DiscordError(fault.status or 500, fault.code, fault.message)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
