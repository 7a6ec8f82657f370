from __future__ import annotations

from bot.playground.permissions import DM_PERMISSIONS, EVERY_PERMISSION, Permission, permissions_in

VIEW, SEND, ATTACH = Permission.VIEW_CHANNEL, Permission.SEND_MESSAGES, Permission.ATTACH_FILES
ROLES = {"guild": int(VIEW), "artist": int(SEND), "mute": 0, "boss": int(Permission.ADMINISTRATOR)}


def overwrite(who: str, *, allow: int = 0, deny: int = 0) -> dict[str, str]:
    return {"id": who, "allow": str(int(allow)), "deny": str(int(deny))}


def test_roles_add_up() -> None:
    assert permissions_in("guild", [], "mia", [], ROLES) == VIEW
    assert permissions_in("guild", [], "mia", ["artist"], ROLES) == VIEW | SEND
    assert permissions_in(None, [], "mia", [], ROLES) == DM_PERMISSIONS


def test_overwrites_apply_in_discords_order() -> None:
    everyone = overwrite("guild", deny=VIEW)
    assert permissions_in("guild", [everyone], "mia", [], ROLES) == 0
    by_role = [everyone, overwrite("artist", allow=VIEW | ATTACH), overwrite("mute", deny=ATTACH | SEND)]
    # Among roles what one allows outweighs what another denies.
    assert permissions_in("guild", by_role, "mia", ["artist", "mute"], ROLES) == VIEW | ATTACH
    own = [*by_role, overwrite("mia", deny=ATTACH), overwrite("theo", allow=SEND)]
    assert permissions_in("guild", own, "mia", ["artist"], ROLES) == VIEW | SEND


def test_administrators_are_above_overwrites() -> None:
    assert permissions_in("guild", [overwrite("mia", deny=VIEW)], "mia", ["boss"], ROLES) == EVERY_PERMISSION
