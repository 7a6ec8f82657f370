"""Rows as the objects Discord shows, in REST answers, gateway events and to the page alike."""

from __future__ import annotations

from typing import Any

from bot.playground.attachments import Attachments
from bot.playground.clock import timestamp
from bot.playground.permissions import permissions_in
from bot.playground.state import Attachment, Channel, Member, Message, Role, State, User

Json = dict[str, Any]

ATTACHMENT = "attachment://id/"
"""How stored embeds and components name an attachment; followed by its id."""

EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15
SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 12

TIER_UPLOAD_LIMITS = {0: 10 << 20, 1: 10 << 20, 2: 50 << 20, 3: 100 << 20}
"""Bytes per file by the guild's boost tier."""


class Rendering:
    def __init__(self, state: State, attachments: Attachments) -> None:
        self._state = state
        self._attachments = attachments

    def user(self, user: User) -> Json:
        rendered: Json = {
            "id": user.id,
            "username": user.username,
            "avatar": None,
            "discriminator": "0",
            "public_flags": 0,
            "flags": 0,
            "banner": None,
            "accent_color": None,
            "global_name": user.global_name,
            "avatar_decoration_data": None,
            "collectibles": None,
            "primary_guild": None,
        }
        if user.bot:
            rendered["bot"] = True
        return rendered

    def own_user(self, user: User) -> Json:
        """The bot as GET /users/@me shows it to itself."""
        return self.user(user) | {"mfa_enabled": True, "locale": "en-US", "verified": True, "email": None}

    def member(self, member: Member) -> Json:
        return {"user": self.user(self._state.users[member.user_id]), **self.member_without_user(member)}

    def member_without_user(self, member: Member) -> Json:
        return {
            "avatar": None,
            "banner": None,
            "communication_disabled_until": None,
            "flags": 0,
            "joined_at": timestamp(member.joined_at),
            "nick": member.nick,
            "pending": False,
            "premium_since": None,
            "roles": list(member.roles),
            "mute": False,
            "deaf": False,
        }

    def member_in(self, member: Member, channel: Channel) -> Json:
        """With the permissions in this channel, as interactions carry it."""
        return self.member(member) | {"permissions": str(self.permissions(member.user_id, channel))}

    def permissions(self, user_id: str, channel: Channel) -> int:
        member, roles = (
            self._state.members[user_id],
            {role.id: role.permissions for role in self._state.roles},
        )
        return permissions_in(channel.guild_id, channel.overwrites, user_id, member.roles, roles)

    def role(self, role: Role) -> Json:
        rendered: Json = {
            "id": role.id,
            "name": role.name,
            "permissions": str(role.permissions),
            "position": role.position,
            "color": role.color,
            "colors": {"primary_color": role.color, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": role.bot_id is not None,
            "mentionable": False,
            "icon": None,
            "unicode_emoji": None,
            "flags": 0,
        }
        if role.bot_id is not None:
            rendered["tags"] = {"bot_id": role.bot_id}
        return rendered

    def channel(self, channel: Channel) -> Json:
        if channel.guild_id is None:
            return {
                "id": channel.id,
                "type": 1,
                "last_message_id": channel.last_message_id,
                "flags": 0,
                "recipients": [self.user(self._state.users[channel.recipient_id or ""])],
            }
        return {
            "id": channel.id,
            "type": channel.type,
            "last_message_id": channel.last_message_id,
            "flags": 0,
            "last_pin_timestamp": None,
            "guild_id": channel.guild_id,
            "name": channel.name,
            "parent_id": None,
            "rate_limit_per_user": 0,
            "topic": channel.topic,
            "position": channel.position,
            "permission_overwrites": list(channel.overwrites),
            "nsfw": channel.nsfw,
        }

    def channel_for(self, user_id: str, channel: Channel) -> Json:
        """The partial channel inside an interaction, with the invoking user's permissions."""
        return self.channel(channel) | {"permissions": str(self.permissions(user_id, channel))}

    def guild(self) -> Json:
        guild = self._state.guild
        return {
            "id": guild.id,
            "name": guild.name,
            "icon": None,
            "description": None,
            "home_header": None,
            "splash": None,
            "discovery_splash": None,
            "features": [],
            "banner": None,
            "owner_id": guild.owner_id,
            "application_id": None,
            "region": "deprecated",
            "afk_channel_id": None,
            "afk_timeout": 300,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "widget_enabled": False,
            "widget_channel_id": None,
            "verification_level": 0,
            "roles": [self.role(role) for role in self._state.roles],
            "default_message_notifications": 0,
            "mfa_level": 0,
            "explicit_content_filter": 0,
            "max_presences": None,
            "max_members": 500_000,
            "max_stage_video_channel_users": 50,
            "max_video_channel_users": 25,
            "vanity_url_code": None,
            "premium_tier": guild.premium_tier,
            "premium_subscription_count": 0,
            "preferred_locale": "en-US",
            "rules_channel_id": None,
            "safety_alerts_channel_id": None,
            "public_updates_channel_id": None,
            "premium_progress_bar_enabled": False,
            "nsfw": False,
            "nsfw_level": 0,
            "emojis": [],
            "stickers": [],
            "incidents_data": None,
        }

    def guild_create(self, *, with_members: bool) -> Json:
        """The body of GUILD_CREATE; without the members intent only the bot itself is among the members."""
        members = [m for m in self._state.members if with_members or m.user_id == self._state.application_id]
        return self.guild() | {
            "joined_at": timestamp(self._state.members[self._state.application_id].joined_at),
            "large": False,
            "unavailable": False,
            "member_count": len(list(self._state.members)),
            "members": [self.member(member) for member in members],
            "channels": [self.channel(c) for c in self._state.channels if c.guild_id is not None],
            "voice_states": [],
            "threads": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def application(self) -> Json:
        bot = self._state.bot
        return {
            "id": bot.id,
            "name": bot.username,
            "icon": None,
            "description": "Pictures from words",
            "type": None,
            "bot": self.user(bot),
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": self._state.secrets.verify_key,
            "flags": 0,
            "flags_new": "0",
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "owner": self.user(self._state.users[self._state.guild.owner_id]),
            "approximate_guild_count": 1,
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "team": None,
            "eligible_oauth2_scopes": [],
        }

    def attachment(self, attachment: Attachment) -> Json:
        url = self._attachments.url(attachment)
        rendered: Json = {
            "id": attachment.id,
            "filename": attachment.filename,
            "size": attachment.size,
            "url": url,
            "proxy_url": url,
        }
        for name in ("content_type", "width", "height", "description"):
            if (value := getattr(attachment, name)) is not None:
                rendered[name] = value
        if attachment.ephemeral:
            rendered["ephemeral"] = True
        return rendered

    def message(self, message: Message, *, with_reference: bool = True) -> Json:
        """Attachment URLs are signed afresh; attachments shown by an embed are left out, as Discord does."""
        state = self._state
        shown_by_embeds = attachments_in(message.embeds)
        rendered: Json = {
            "id": message.id,
            "type": message.type,
            "channel_id": message.channel_id,
            "author": self.user(state.users[message.author_id]),
            "content": message.content,
            "mentions": [self.user(user) for i in message.mention_ids if (user := state.users.get(i))],
            "mention_roles": list(message.mention_role_ids),
            "mention_everyone": message.mention_everyone,
            "attachments": [
                self.attachment(attachment)
                for attachment_id in message.attachment_ids
                if attachment_id not in shown_by_embeds
                and (attachment := state.attachments.get(attachment_id))
            ],
            "embeds": [] if message.flags & SUPPRESS_EMBEDS else self._with_urls(message.embeds),
            "components": self._with_urls(message.components),
            "timestamp": timestamp(message.timestamp),
            "edited_timestamp": None
            if message.edited_timestamp is None
            else timestamp(message.edited_timestamp),
            "flags": message.flags,
            "pinned": False,
            "tts": message.tts,
        }
        if message.nonce is not None:
            rendered["nonce"] = message.nonce
        if message.from_interaction:
            rendered["webhook_id"] = rendered["application_id"] = state.application_id
        if (metadata := message.interaction_metadata) is not None:
            rendered["interaction_metadata"] = self._metadata(metadata)
            if "name" in metadata:
                # The older field still carries the command's name, which the page writes in "X used /name".
                named: Json = {"id": metadata["id"], "type": 2, "name": metadata["name"]}
                named["user"] = self.user(state.users[metadata["user_id"]])
                rendered["interaction"] = named
        if message.reference is not None:
            rendered["message_reference"] = {"type": 0, **message.reference}
            if with_reference:
                original = state.messages.get(message.reference["message_id"])
                rendered["referenced_message"] = original and self.message(original, with_reference=False)
        return rendered

    def without_content(self, message: Message, rendered: Json) -> Json:
        """`rendered` as a bot without the message content intent sees it: only its own messages, mentions and direct messages."""
        bot = self._state.application_id
        in_guild = self._state.channels[message.channel_id].guild_id is not None
        if not in_guild or message.author_id == bot or bot in message.mention_ids:
            return rendered
        return {**rendered, "content": "", "embeds": [], "attachments": [], "components": []}

    def message_event(self, message: Message) -> Json:
        """As MESSAGE_CREATE and MESSAGE_UPDATE carry it: with the guild and the author's member."""
        rendered = self.message(message)
        channel = self._state.channels.get(message.channel_id)
        if channel is not None and channel.guild_id is not None:
            rendered["guild_id"] = channel.guild_id
            if member := self._state.members.get(message.author_id):
                rendered["member"] = self.member_without_user(member)
        return rendered

    def upload_limit(self, channel: Channel | None = None) -> int:
        """Bytes per file: the guild's limit, in direct messages the default one."""
        guild = self._state.guild
        if guild.upload_limit is not None:
            return guild.upload_limit
        return TIER_UPLOAD_LIMITS[
            0 if channel is not None and channel.guild_id is None else guild.premium_tier
        ]

    def _metadata(self, stored: Json) -> Json:
        rendered = {
            name: value for name, value in stored.items() if name not in ("user_id", "name", "target_user_id")
        }
        rendered["user"] = self.user(self._state.users[stored["user_id"]])
        if "target_user_id" in stored:
            rendered["target_user"] = self.user(self._state.users[stored["target_user_id"]])
        if "triggering_interaction_metadata" in stored:
            rendered["triggering_interaction_metadata"] = self._metadata(
                stored["triggering_interaction_metadata"]
            )
        return rendered

    def _with_urls(self, stored: Any) -> Any:
        if isinstance(stored, list):
            return [self._with_urls(item) for item in stored]
        if not isinstance(stored, dict):
            return stored
        rendered = {name: self._with_urls(value) for name, value in stored.items()}
        if str(rendered.get("icon_url", "")).startswith(ATTACHMENT):
            icon = self._state.attachments.get(rendered["icon_url"].removeprefix(ATTACHMENT))
            rendered["icon_url"] = rendered["proxy_icon_url"] = self._url(icon)
        if str(rendered.get("url", "")).startswith(ATTACHMENT):
            attachment = self._state.attachments.get(rendered["url"].removeprefix(ATTACHMENT))
            url = self._url(attachment)
            rendered |= {"url": url, "proxy_url": url}
            for name in ("width", "height", "content_type"):
                if attachment is not None and (value := getattr(attachment, name)) is not None:
                    rendered[name] = value
        return rendered

    def _url(self, attachment: Attachment | None) -> str:
        return (
            f"{self._attachments.origin}/cdn/gone"
            if attachment is None
            else self._attachments.url(attachment)
        )


def attachments_in(stored: Any) -> set[str]:
    """The ids of all attachments that stored embeds or components show."""
    if isinstance(stored, list):
        return set().union(*(attachments_in(item) for item in stored))
    if isinstance(stored, dict):
        found = set().union(*(attachments_in(item) for item in stored.values()))
        for name in ("url", "icon_url"):
            if str(stored.get(name, "")).startswith(ATTACHMENT):
                found.add(stored[name].removeprefix(ATTACHMENT))
        return found
    return set()
