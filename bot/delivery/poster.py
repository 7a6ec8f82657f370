"""The finished pictures, posted exactly once: in the channel, else by direct message, else they wait in /history."""

from __future__ import annotations

import logging

import aiohttp
import discord

from bot.delivery.pacing import Clock
from bot.delivery.search import find_message
from bot.domain import Job
from bot.domain.job import nonce_of
from bot.errors import UserError
from bot.services import JobService
from bot.views.button_id import RESULT_ACTIONS
from bot.views.job_text import result_text
from bot.views.panels import result_buttons
from bot.views.result import SMALLEST_FILE, ResultFile, is_too_large, result_file

log = logging.getLogger(__name__)

LONGEST_DELAY = 60.0
DEFAULT_LIMIT = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES


class PicturesUnreadableError(Exception):
    """The stored pictures are gone or damaged; asking Discord again would not help."""


class Poster:
    """Posts a job in state POSTING and tells the job where."""

    def __init__(self, client: discord.Client, jobs: JobService, clock: Clock) -> None:
        self._client = client
        self._jobs = jobs
        self._clock = clock

    async def post(self, job: Job, *, look_first: bool) -> None:
        """Deliver the pictures and record it. Waits as long as Discord is away.

        Args:
            look_first: the post may have been made before, by this process or one that died; look for it.

        Raises:
            discord.HTTPException, aiohttp.ClientError: not a refusal, but trouble on the way; trying again may help.
        """
        try:
            sent = await self._post_somewhere(job, look_first=look_first)
        except PicturesUnreadableError:
            log.exception("job %s: its pictures cannot be read", job.id)
            await self._jobs.not_postable(job.id, UserError("post_unreadable"))
        except discord.HTTPException as refusal:
            _raise_unless_refused(refusal)
            log.warning("job %s waits in /history: %s", job.id, refusal)
            await self._jobs.not_postable(job.id, UserError("post_refused"))
        else:
            await self._jobs.posted(job.id, channel_id=sent.channel.id, message_id=sent.id)

    async def _post_somewhere(self, job: Job, *, look_first: bool) -> discord.Message:
        """In its channel, or by direct message where that is refused. Raises as `_post_once` and Discord do."""
        try:
            channel = self._client.get_partial_messageable(job.destination.channel_id)
            return await self._post_once(channel, job, look_first=look_first, by_direct_message=False)
        except discord.HTTPException as refusal:
            _raise_unless_refused(refusal)
            log.info("job %s cannot be posted in its channel (%s); trying a direct message", job.id, refusal)
        direct = await self._client.create_dm(discord.Object(job.owner_id))
        return await self._post_once(direct, job, look_first=look_first, by_direct_message=True)

    async def _post_once(
        self, channel: discord.abc.Messageable, job: Job, *, look_first: bool, by_direct_message: bool
    ) -> discord.Message:
        """Raises discord.HTTPException when Discord says no for good, PicturesUnreadableError before it was asked."""
        limit, delay = self._upload_limit(job, by_direct_message), 1.0
        content = result_text(job, by_direct_message=by_direct_message)
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(job.owner_id)])
        while True:
            file = await self._file(job, limit)
            try:
                if look_first and (
                    found := await find_message(self._client, channel, job.id, RESULT_ACTIONS)
                ):
                    return found
                # discord.py sends a nonce with `enforce_nonce`: for some minutes Discord answers a repeated post
                # with the message that is there already.
                return await channel.send(
                    content,
                    file=file.upload(),
                    view=result_buttons(job),
                    nonce=nonce_of(job.id),
                    allowed_mentions=mentions,
                    suppress_embeds=True,
                )
            except discord.HTTPException as error:
                if is_too_large(error):
                    limit = min(limit, len(file.encoded.data)) // 2
                    if limit < SMALLEST_FILE:
                        raise
                    continue
                if error.status < 500 and error.status != 429:
                    raise
                log.warning(
                    "job %s: Discord answered %s; posting again in %.0f s", job.id, error.status, delay
                )
            except (aiohttp.ClientError, OSError) as error:
                log.warning("job %s: Discord cannot be reached (%s); again in %.0f s", job.id, error, delay)
            await self._clock.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            # The answer may have been lost after the message was made, and a nonce holds only for minutes.
            look_first = True

    async def _file(self, job: Job, limit: int) -> ResultFile:
        try:
            return await result_file(self._jobs, job, limit)
        except OSError as error:
            raise PicturesUnreadableError(str(error)) from error

    def _upload_limit(self, job: Job, by_direct_message: bool) -> int:
        guild = None if by_direct_message or job.guild_id is None else self._client.get_guild(job.guild_id)
        return guild.filesize_limit if guild else DEFAULT_LIMIT


def _raise_unless_refused(error: discord.HTTPException) -> None:
    """A dead token of the bot and trouble on Discord's side say nothing about this post."""
    if error.status == 401 or error.status == 429 or error.status >= 500:
        raise error
