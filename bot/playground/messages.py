"""The life of a message: created, edited, listed, deleted, with its files, embeds, mentions and references."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import islice
from typing import Any

from bot.playground import components, errors
from bot.playground.attachments import Attachments, UploadedFile
from bot.playground.errors import Path, form_error
from bot.playground.events import Events, MessageCreated, MessageDeleted, MessageUpdated
from bot.playground.limits import ATTACHMENTS_PER_MESSAGE
from bot.playground.message_rules import check_message
from bot.playground.permissions import Permission
from bot.playground.rendering import (
    ATTACHMENT,
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
    Rendering,
    attachments_in,
)
from bot.playground.state import Attachment, Channel, Message, State

Json = dict[str, Any]
Files = dict[str, UploadedFile]
"""Uploaded files by the n of their field `files[n]`."""

NONCE_LIFETIME = 5 * 60.0
"""Seconds for which a repeated nonce finds the message it made. Discord says "the past few minutes"."""

_REPLY = 19
_EMBED_FIELDS = (
    "title",
    "description",
    "url",
    "color",
    "timestamp",
    "fields",
    "author",
    "footer",
    "image",
    "thumbnail",
)


class Messages:
    def __init__(self, state: State, attachments: Attachments, rendering: Rendering, events: Events) -> None:
        self._state = state
        self._attachments = attachments
        self._rendering = rendering
        self._events = events

    async def create(
        self,
        draft: Message,
        payload: object,
        files: Files,
        *,
        upload_limit: int,
        base: Path = (),
        enforce_nonce: bool = False,
    ) -> Message:
        """Fill `draft` (see `draft`) from a create request and publish it.

        With `enforce_nonce` a message of the same author and nonce made in the past few minutes is returned instead.
        """
        self._check_files(files, upload_limit)
        payload = check_message(payload, base=base)
        draft.nonce = payload.get("nonce")
        if enforce_nonce and payload.get("enforce_nonce") and (earlier := self._with_nonce(draft)):
            return earlier
        draft.flags |= (payload.get("flags") or 0) & (
            SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | COMPONENTS_V2
        )
        draft.tts = bool(payload.get("tts"))
        self._refer(draft, payload.get("message_reference"), base)
        async with self._stored(draft, payload, files) as new:
            if enforce_nonce and payload.get("enforce_nonce") and (earlier := self._with_nonce(draft)):
                self._discard(new)  # A twin of this request finished while its files were being stored.
                return earlier
            self._fill(draft, payload, new, base)
        self._state.add_message(draft)
        self._events.publish(MessageCreated(draft))
        return draft

    async def edit(
        self, message: Message, payload: object, files: Files, *, upload_limit: int, base: Path = ()
    ) -> Message:
        self._check_files(files, upload_limit)
        payload = check_message(payload, base=base, v2=bool(message.flags & COMPONENTS_V2))
        async with self._stored(message, payload, files) as new:
            if self._state.messages.get(message.id) is not message:
                raise errors.unknown_message()
            # From the copy to its way back nothing waits: another edit would be undone.
            changed = Message(**deepcopy(vars(message)))
            if "flags" in payload:
                # The V2 flag can be set but never taken away again.
                given = payload["flags"] or 0
                changed.flags = changed.flags & ~SUPPRESS_EMBEDS | given & (SUPPRESS_EMBEDS | COMPONENTS_V2)
            answers_deferral = bool(changed.flags & LOADING)
            changed.flags &= ~LOADING
            self._fill(changed, payload, new, base)
        if not answers_deferral:
            changed.edited_timestamp = self._state.clock.now()
        for attachment_id in set(message.attachment_ids) - set(changed.attachment_ids):
            self._attachments.discard(attachment_id)
        vars(message).update(vars(changed))
        self._state.messages.put(message)
        self._events.publish(MessageUpdated(message))
        return message

    def delete(self, message: Message) -> None:
        for attachment_id in message.attachment_ids:
            self._attachments.discard(attachment_id)
        self._state.remove_message(message)
        self._events.publish(MessageDeleted(message))

    def draft(
        self, channel_id: str, author_id: str, *, kind: int = 0, flags: int = 0, viewer_id: str | None = None
    ) -> Message:
        """An empty message with its id and time; ephemeral where it has a viewer."""
        return Message(
            id=self._state.snowflakes.next(),
            channel_id=channel_id,
            author_id=author_id,
            type=kind,
            content="",
            flags=flags | (EPHEMERAL if viewer_id is not None else 0),
            timestamp=self._state.clock.now(),
            viewer_id=viewer_id,
        )

    def add_loading(self, message: Message) -> Message:
        """Publish the "is thinking…" message of a deferral."""
        message.flags |= LOADING
        self._state.add_message(message)
        self._events.publish(MessageCreated(message))
        return message

    def get(self, channel: Channel, message_id: str, *, with_ephemeral: bool = False) -> Message:
        """A message of this channel; raises 10008 for unknown ones, as Discord does for ephemeral ones."""
        message = self._state.messages.get(message_id)
        if message is None or message.channel_id != channel.id or (message.viewer_id and not with_ephemeral):
            raise errors.unknown_message()
        return message

    def listing(
        self,
        channel: Channel,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        viewer_id: str | None = None,
    ) -> list[Message]:
        """Newest first; ephemeral messages only those of `viewer_id`."""

        def older(than: int | None, count: int) -> list[Message]:
            found = self._state.newest_first(channel.id, before=than)
            return list(islice((m for m in found if m.viewer_id in (None, viewer_id)), count))

        def newer(since: int, count: int) -> list[Message]:
            found = self._state.oldest_first(channel.id, since=since)
            return list(islice((m for m in found if m.viewer_id in (None, viewer_id)), count))[::-1]

        if around is not None:
            half = limit // 2
            return newer(around, limit - half) + older(around, half)
        return older(before, limit) if after is None else newer(after + 1, limit)

    def _check_files(self, files: Files, upload_limit: int) -> None:
        if len(files) > ATTACHMENTS_PER_MESSAGE:
            raise errors.too_many_attachments(ATTACHMENTS_PER_MESSAGE)
        if any(len(file.content) > upload_limit for file in files.values()):
            raise errors.too_large()

    @asynccontextmanager
    async def _stored(self, message: Message, payload: Json, files: Files) -> AsyncIterator[list[Attachment]]:
        """The files of a request as attachments, which are dropped again if the block fails."""
        details = {str(entry["id"]): entry for entry in payload.get("attachments") or ()}
        new: list[Attachment] = []
        try:
            for index, file in files.items():
                new.append(await self._add_file(message, file, details.get(index, {})))
            yield new
        except BaseException:  # Whatever the reason, no message shows them.
            self._discard(new)
            raise

    def _discard(self, attachments: list[Attachment]) -> None:
        for attachment in attachments:
            self._attachments.discard(attachment.id)

    def _fill(self, message: Message, payload: Json, new: list[Attachment], base: Path) -> None:
        """Content, files, embeds, components and mentions as `payload` changes them."""
        listed = payload.get("attachments")
        kept = self._kept(message, listed)
        if len(kept) + len(new) > ATTACHMENTS_PER_MESSAGE:
            raise errors.too_many_attachments(ATTACHMENTS_PER_MESSAGE)
        if "content" in payload:
            message.content = payload["content"] or ""
        if message.flags & COMPONENTS_V2 and (
            message.content or (message.embeds and payload.get("embeds") != [])
        ):
            code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
            raise form_error(
                (*base, "content"), code, "Clear content and embeds to use MessageFlags.IS_COMPONENTS_V2"
            )
        details = {str(entry["id"]): entry for entry in listed or ()}
        for attachment in kept:
            if (entry := details.get(attachment.id)) and "description" in entry:
                attachment.description = entry["description"]
        self._apply(message, payload, kept, new, base)

    def _kept(self, message: Message, listed: list[Json] | None) -> list[Attachment]:
        """The message's attachments that stay: all, or those listed and those an embed hides from the bot."""
        current = [a for i in message.attachment_ids if (a := self._state.attachments.get(i))]
        if listed is None:
            return current
        named = {str(entry["id"]) for entry in listed} | attachments_in(message.embeds)
        return [attachment for attachment in current if attachment.id in named]

    async def _add_file(self, message: Message, file: UploadedFile, details: Json) -> Attachment:
        return await self._attachments.add(
            UploadedFile(details.get("filename") or file.filename, file.content),
            channel_id=message.channel_id,
            ephemeral=message.viewer_id is not None,
            description=details.get("description"),
        )

    def _apply(
        self, message: Message, payload: Json, kept: list[Attachment], new: list[Attachment], base: Path
    ) -> None:
        available = kept + new
        if "embeds" in payload:
            message.embeds = [self._store_embed(embed, available) for embed in payload["embeds"] or ()]
        if payload.get("components") is not None:
            message.components = self._store_components(
                payload["components"], available, (*base, "components")
            )
            components.number(message.components)
        if "content" in payload or payload.get("allowed_mentions"):
            self._mention(message, payload.get("allowed_mentions"))
        # An embed replaced by this edit no longer hides its attachment: what was listed stays, what was not goes.
        listed = payload.get("attachments")
        if listed is not None and "embeds" in payload:
            named = {str(entry["id"]) for entry in listed} | attachments_in(message.embeds)
            kept = [attachment for attachment in kept if attachment.id in named]
        message.attachment_ids = [attachment.id for attachment in kept + new]
        if not (message.content.strip() or message.embeds or message.components or message.attachment_ids):
            raise errors.empty_message()
        for attachment in kept + new:
            attachment.message_id = message.id
            self._state.attachments.put(attachment)

    def _store_embed(self, embed: Json, available: list[Attachment]) -> Json:
        stored: Json = {"type": "rich"}
        for name in _EMBED_FIELDS:
            value = embed.get(name)
            if value is None:
                continue
            if name in ("image", "thumbnail"):
                shown = self._find_attachment(value["url"], available)
                if shown is None and value["url"].startswith("attachment://"):
                    continue
                value = {"url": ATTACHMENT + shown.id if shown else value["url"]}
            elif name in ("author", "footer") and value.get("icon_url"):
                shown = self._find_attachment(value["icon_url"], available)
                value = value | ({"icon_url": ATTACHMENT + shown.id} if shown else {})
            stored[name] = value
        return stored

    def _store_components(self, sent: list[Json], available: list[Attachment], path: Path) -> list[Json]:
        stored = deepcopy(sent)
        for component, where in components.walk(stored, path):
            spots = [(component, name, (*where, name)) for name in ("media", "file") if name in component]
            spots += [
                (item, "media", (*where, "items", i, "media"))
                for i, item in enumerate(component.get("items", ()))
            ]
            for holder, name, spot in spots:
                url = holder[name]["url"]
                shown = self._find_attachment(url, available)
                if shown is None and url.startswith("attachment://"):
                    code = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
                    raise form_error((*spot, "url"), code, f"The referenced attachment was not found: {url}")
                media = {"id": self._state.snowflakes.next(), "url": url, "proxy_url": url}
                media |= {"width": None, "height": None, "content_type": None}
                if shown is not None:
                    media |= {"url": ATTACHMENT + shown.id, "attachment_id": shown.id}
                    if name == "file":
                        holder |= {"name": shown.filename, "size": shown.size}
                holder[name] = media
        return stored

    def _find_attachment(self, url: str, available: list[Attachment]) -> Attachment | None:
        if url.startswith("attachment://"):
            name = url.removeprefix("attachment://")
            return next((attachment for attachment in available if attachment.filename == name), None)
        shown = self._attachments.from_url(url)
        return shown if shown in available else None

    def _refer(self, draft: Message, reference: Json | None, base: Path) -> None:
        if reference is None:
            return
        original = self._state.messages.get(str(reference["message_id"]))
        if original is None or original.viewer_id is not None or original.channel_id != draft.channel_id:
            if reference.get("fail_if_not_exists") is False:
                return
            raise form_error((*base, "message_reference"), "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        draft.type = _REPLY
        draft.reference = {"channel_id": original.channel_id, "message_id": original.id}
        if guild_id := self._state.channels[original.channel_id].guild_id:
            draft.reference["guild_id"] = guild_id

    def _mention(self, message: Message, allowed: Json | None) -> None:
        """Who is pinged: what the content names and `allowed` lets through (everything when it is missing)."""
        allowed = (
            {"parse": ["users", "roles", "everyone"], "replied_user": True} if allowed is None else allowed
        )
        parse = allowed.get("parse") or ()

        def permitted(kind: str, found: list[str]) -> list[str]:
            wanted = {str(item) for item in allowed.get(kind) or ()}
            return [item for item in dict.fromkeys(found) if kind in parse or item in wanted]

        users = permitted("users", re.findall(r"<@!?(\d+)>", message.content))
        original = self._state.messages.get((message.reference or {}).get("message_id"))
        if original is not None and allowed.get("replied_user"):
            users.append(original.author_id)
        message.mention_ids = [user for user in dict.fromkeys(users) if self._state.users.get(user)]
        message.mention_role_ids = permitted("roles", re.findall(r"<@&(\d+)>", message.content))
        channel = self._state.channels[message.channel_id]
        may = self._rendering.permissions(message.author_id, channel) & Permission.MENTION_EVERYONE
        named = re.search(r"@(everyone|here)\b", message.content)
        message.mention_everyone = bool(may and named and "everyone" in parse)

    def _with_nonce(self, draft: Message) -> Message | None:
        if draft.nonce is None:
            return None
        for message in self._state.newest_first(draft.channel_id):
            if self._state.clock.now() - message.timestamp > NONCE_LIFETIME:
                return None
            if message.author_id == draft.author_id and str(message.nonce) == str(draft.nonce):
                return message
        return None
