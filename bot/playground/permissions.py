"""Discord's permission bits and how roles and a channel's overwrites combine into what somebody may do there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import IntFlag
from typing import Any


class Permission(IntFlag):
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    USE_APPLICATION_COMMANDS = 1 << 31
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EXTERNAL_APPS = 1 << 50


NOTHING = Permission(0)

EVERY_PERMISSION = (1 << 53) - 1

INVITE_PERMISSIONS = 274_878_024_704
"""What Fourfold's invite link asks for: view, send (also in threads), embed, attach, read history."""

MEMBER_PERMISSIONS = int(
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.ADD_REACTIONS
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.USE_EXTERNAL_APPS
)

ADMIN_PERMISSIONS = int(Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES | Permission.MANAGE_CHANNELS)

DM_PERMISSIONS = int(
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.ADD_REACTIONS
    | Permission.USE_APPLICATION_COMMANDS
)


def permissions_in(
    guild_id: str | None,
    overwrites: Iterable[Mapping[str, Any]],
    user_id: str,
    user_roles: Collection[str],
    roles: Mapping[str, int],
) -> int:
    """The bits a member has in a channel of `guild_id` with these overwrites; None stands for direct messages.

    `roles` are the bits of all roles of the guild by id; the role named like the guild is everyone's.
    """
    if guild_id is None:
        return DM_PERMISSIONS
    held = {role: bits for role, bits in roles.items() if role in user_roles or role == guild_id}
    bits = 0
    for granted in held.values():
        bits |= granted
    if bits & Permission.ADMINISTRATOR:
        return EVERY_PERMISSION
    # Discord's order: everyone's overwrite, then all role overwrites together, then the member's own.
    for names in ({guild_id}, held.keys() - {guild_id}, {user_id}):
        chosen = [overwrite for overwrite in overwrites if overwrite["id"] in names]
        for overwrite in chosen:
            bits &= ~int(overwrite["deny"])
        for overwrite in chosen:
            bits |= int(overwrite["allow"])
    return bits
