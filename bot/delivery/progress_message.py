"""The message that shows a job's progress: edited by the interaction's token while that lives, then by the bot's own."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import discord

from bot.delivery.pacing import Clock
from bot.delivery.search import find_message
from bot.domain import Destination
from bot.rendering import smaller_preview
from bot.services import JobService
from bot.views.button_id import UNFINISHED_ACTIONS
from bot.views.interactions import UNREACHABLE
from bot.views.result import is_too_large

log = logging.getLogger(__name__)

TOKEN_MARGIN = timedelta(seconds=60)
"""The token is left alone this long before it expires, so that no edit is lost to a clock that is a little off."""
DEAD_TOKEN = {50027, 10015}
ORIGINAL = cast(int, "@original")
"""The interaction's first answer; the path takes this word in place of an id."""


class ProgressMessage:
    """One message, two routes. Nothing here raises: progress that cannot be shown never fails a job."""

    def __init__(
        self, client: discord.Client, jobs: JobService, job_id: UUID, destination: Destination, clock: Clock
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._job_id = job_id
        self._channel_id = destination.channel_id
        self._message_id = destination.message_id
        self._token = destination.token
        self._expires_at = destination.expires_at
        self._clock = clock
        self._preview: bytes | None = None

    @property
    def exists(self) -> bool:
        """False once it is known that there is no message to edit, or that we may not."""
        return self._message_id is not None

    async def find(self) -> None:
        """Look for a message whose id was lost: the process died after it was posted and before that was noted."""
        if self._message_id is not None:
            return
        channel = self._client.get_partial_messageable(self._channel_id)
        try:
            found = await find_message(self._client, channel, self._job_id, UNFINISHED_ACTIONS)
        except UNREACHABLE as error:
            log.info("job %s: its progress message could not be looked for: %s", self._job_id, error)
        else:
            self._message_id = found.id if found else None

    async def edit(self, content: str, view: discord.ui.View | None, preview: bytes | None = None) -> bool:
        """Show the newest state; a preview equal to the one that is shown is not sent again. True if it worked."""
        if preview is None or preview == self._preview:
            return await self._patch(content=content, view=view)
        self._preview = preview
        return await self._patch(content=content, view=view, picture=preview)

    async def close(self, content: str, view: discord.ui.View | None) -> bool:
        """The last state: words without a picture."""
        return await self._patch(content=content, view=view, attachments=[])

    async def delete(self) -> bool:
        """Remove the message; one that is gone already is success, one that could not be reached is not."""
        if self._message_id is None:
            return True
        try:
            await self._send(
                lambda webhook: webhook.delete_message(ORIGINAL), lambda message: message.delete()
            )
        except discord.NotFound:
            pass  # Somebody was faster, which is what was wanted.
        except UNREACHABLE as error:
            log.info("job %s: the progress message could not be deleted: %s", self._job_id, error)
            if isinstance(error, discord.Forbidden):
                self._message_id = None
            return False
        return True

    async def _patch(self, *, picture: bytes | None = None, **fields: Any) -> bool:
        if self._message_id is None:
            return False
        # Of an earlier file nothing is named, so Discord drops it: each edit replaces the picture.
        changes: dict[str, Any] = {**fields, "attachments": [_file(picture)]} if picture else fields
        try:
            await self._send(
                lambda webhook: webhook.edit_message(ORIGINAL, **changes),
                lambda message: message.edit(**changes),
            )
        except discord.HTTPException as error:
            if picture and is_too_large(error):
                return await self._patch(picture=await asyncio.to_thread(smaller_preview, picture), **fields)
            if isinstance(error, discord.NotFound | discord.Forbidden):
                log.info("job %s: its progress message cannot be edited any more: %s", self._job_id, error)
                self._message_id = None
            else:
                log.info("job %s: an edit of its progress message failed: %s", self._job_id, error)
            return False
        except UNREACHABLE as error:
            log.info("job %s: an edit of its progress message failed: %s", self._job_id, error)
            return False
        return True

    async def _send(
        self,
        by_token: Callable[[discord.Webhook], Awaitable[object]],
        by_id: Callable[[discord.PartialMessage], Awaitable[object]],
    ) -> None:
        """One request by the interaction's token, or by the message's id once Discord takes the token no more."""
        if webhook := await self._by_token():
            try:
                await by_token(webhook)
                return
            except discord.HTTPException as error:
                if error.status != 401 and error.code not in DEAD_TOKEN:
                    raise
                await self._forget_token()
        await by_id(self._by_id())

    async def _by_token(self) -> discord.Webhook | None:
        if self._token is None or self._client.application_id is None:
            return None
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        if self._expires_at is None or now >= self._expires_at - TOKEN_MARGIN:
            await self._forget_token()
            return None
        return discord.Webhook.partial(self._client.application_id, self._token, client=self._client)

    def _by_id(self) -> discord.PartialMessage:
        assert self._message_id is not None
        return self._client.get_partial_messageable(self._channel_id).get_partial_message(self._message_id)

    async def _forget_token(self) -> None:
        self._token = None
        await self._jobs.drop_token(self._job_id)


def _file(picture: bytes) -> discord.File:
    return discord.File(io.BytesIO(picture), "preview.jpg")
