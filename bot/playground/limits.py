"""The one table of Discord's limits: forms by name, each a map of its fields to the rule a value must meet.

validation.py walks it. What concerns more than one field at once (totals, duplicates, order) stands in message_rules.py,
modal_rules.py and command_rules.py, with its numbers here. Sources: Discord's references of messages, components and
application commands.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    maximum: int
    minimum: int = 0
    required: bool = False
    pattern: str | None = None
    schemes: tuple[str, ...] = ()
    """Of an address, those it may have."""


@dataclass(frozen=True)
class Integer:
    minimum: int
    maximum: int
    required: bool = False


@dataclass(frozen=True)
class Number:
    required: bool = False


@dataclass(frozen=True)
class Boolean:
    required: bool = False


@dataclass(frozen=True)
class Snowflake:
    required: bool = False


@dataclass(frozen=True)
class Timestamp:
    """A day and time in ISO 8601."""

    required: bool = False


@dataclass(frozen=True)
class Form:
    of: str
    required: bool = False


@dataclass(frozen=True)
class Items:
    of: Rule
    maximum: int
    minimum: int = 0
    required: bool = False


@dataclass(frozen=True)
class Texts:
    """A map of locales to texts."""

    of: Text
    required: bool = False


@dataclass(frozen=True)
class OneOf:
    values: tuple[int | str, ...]
    required: bool = False


@dataclass(frozen=True)
class Component:
    """A component whose `type` must be one of these; its form is COMPONENTS[type]."""

    types: tuple[int, ...]
    required: bool = False


Rule = Text | Integer | Number | Boolean | Snowflake | Timestamp | Form | Items | Texts | OneOf | Component

ATTACHMENTS_PER_MESSAGE = 10
REQUEST_BYTES = 25 << 20
EMBED_TEXT_TOTAL = 6000
CLASSIC_ROWS = 5
V2_COMPONENTS = 40
V2_TEXT_TOTAL = 4000
MODAL_COMPONENTS = 5
ROW_WIDTH = 5
COMMANDS_OF_TYPE = {1: 100, 2: 15, 3: 15}
COMMAND_TEXT_TOTAL = 8000
AUTOCOMPLETE_CHOICES = 25

BUTTON, STRING_SELECT, TEXT_INPUT = 2, 3, 4
ROW, SECTION, TEXT_DISPLAY, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 1, 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 18, 19, 21, 22, 23
ENTITY_SELECTS = (5, 6, 7, 8)
"""User, role, mentionable and channel select."""
SELECTS = (STRING_SELECT, *ENTITY_SELECTS)

CLASSIC_TOP = (ROW,)
V2_TOP = (ROW, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR, CONTAINER)
MODAL_TOP = (ROW, TEXT_DISPLAY, LABEL)

_COLOR = Integer(0, 0xFFFFFF)
_CUSTOM_ID = Text(100, 1, required=True)
_ID = Integer(0, 2**31 - 1)
_ALT_TEXT = Text(1024)
_SCHEMES = ("http", "https", "discord", "attachment")
_URL = Text(2048, schemes=_SCHEMES)
_SELECT: dict[str, Rule] = {
    "id": _ID,
    "custom_id": _CUSTOM_ID,
    "placeholder": Text(150),
    "min_values": Integer(0, 25),
    "max_values": Integer(1, 25),
    "disabled": Boolean(),
    "required": Boolean(),
}
_ENTITY_SELECT: dict[str, Rule] = {**_SELECT, "default_values": Items(Form("default value"), 25)}
_CHOICES = (4, 3, *ENTITY_SELECTS, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX)

COMPONENTS: dict[int, dict[str, Rule]] = {
    ROW: {
        "id": _ID,
        "components": Items(Component((BUTTON, *SELECTS, TEXT_INPUT)), ROW_WIDTH, 1, required=True),
    },
    BUTTON: {
        "id": _ID,
        "style": Integer(1, 6, required=True),
        "label": Text(80),
        "custom_id": Text(100, 1),
        "url": Text(512, schemes=_SCHEMES),
        "emoji": Form("emoji"),
        "disabled": Boolean(),
    },
    STRING_SELECT: {**_SELECT, "options": Items(Form("option"), 25, 1, required=True)},
    TEXT_INPUT: {
        "id": _ID,
        "custom_id": _CUSTOM_ID,
        "style": Integer(1, 2, required=True),
        "label": Text(45, 1),
        "min_length": Integer(0, 4000),
        "max_length": Integer(1, 4000),
        "required": Boolean(),
        "value": Text(4000),
        "placeholder": Text(100),
    },
    **dict.fromkeys(ENTITY_SELECTS, _ENTITY_SELECT),
    SECTION: {
        "id": _ID,
        "components": Items(Component((TEXT_DISPLAY,)), 3, 1, required=True),
        "accessory": Component((BUTTON, THUMBNAIL), required=True),
    },
    TEXT_DISPLAY: {"id": _ID, "content": Text(4000, 1, required=True)},
    THUMBNAIL: {
        "id": _ID,
        "media": Form("media", required=True),
        "description": _ALT_TEXT,
        "spoiler": Boolean(),
    },
    GALLERY: {"id": _ID, "items": Items(Form("gallery item"), 10, 1, required=True)},
    FILE: {"id": _ID, "file": Form("file", required=True), "spoiler": Boolean()},
    SEPARATOR: {"id": _ID, "divider": Boolean(), "spacing": Integer(1, 2)},
    CONTAINER: {
        "id": _ID,
        "components": Items(
            Component((ROW, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR)), 40, 1, required=True
        ),
        "accent_color": _COLOR,
        "spoiler": Boolean(),
    },
    LABEL: {
        "id": _ID,
        "label": Text(45, 1, required=True),
        "description": Text(100),
        "component": Component(_CHOICES, required=True),
    },
    FILE_UPLOAD: {
        "id": _ID,
        "custom_id": _CUSTOM_ID,
        "min_values": Integer(0, 10),
        "max_values": Integer(1, 10),
        "required": Boolean(),
    },
    RADIO_GROUP: {
        "id": _ID,
        "custom_id": _CUSTOM_ID,
        "options": Items(Form("option"), 10, 2, required=True),
        "required": Boolean(),
    },
    CHECKBOX_GROUP: {
        "id": _ID,
        "custom_id": _CUSTOM_ID,
        "options": Items(Form("option"), 10, 1, required=True),
        "min_values": Integer(0, 10),
        "max_values": Integer(1, 10),
        "required": Boolean(),
    },
    CHECKBOX: {"id": _ID, "custom_id": _CUSTOM_ID, "default": Boolean()},
}

_COMMAND_NAME = Text(32, 1, required=True)
_DESCRIPTION = Text(100, 1, required=True)
_SLASH_NAME = r"[-_'\w]{1,32}"

FORMS: dict[str, dict[str, Rule]] = {
    "message": {
        "content": Text(2000),
        "embeds": Items(Form("embed"), 10),
        "allowed_mentions": Form("allowed mentions"),
        "attachments": Items(Form("attachment"), ATTACHMENTS_PER_MESSAGE),
        "flags": Integer(0, 2**31 - 1),
        "tts": Boolean(),
        "message_reference": Form("reference"),
        "enforce_nonce": Boolean(),
    },
    "attachment": {
        "id": Snowflake(required=True),
        "filename": Text(1024, 1),
        "description": _ALT_TEXT,
        "title": Text(1024),
    },
    "reference": {"message_id": Snowflake(required=True), "channel_id": Snowflake(), "guild_id": Snowflake()},
    "allowed mentions": {
        "parse": Items(OneOf(("users", "roles", "everyone")), 3),
        "users": Items(Snowflake(), 100),
        "roles": Items(Snowflake(), 100),
        "replied_user": Boolean(),
    },
    "embed": {
        "title": Text(256),
        "description": Text(4096),
        "url": _URL,
        "color": _COLOR,
        "timestamp": Timestamp(),
        "fields": Items(Form("embed field"), 25),
        "author": Form("embed author"),
        "footer": Form("embed footer"),
        "image": Form("media"),
        "thumbnail": Form("media"),
    },
    "embed field": {
        "name": Text(256, 1, required=True),
        "value": Text(1024, 1, required=True),
        "inline": Boolean(),
    },
    "embed author": {"name": Text(256, 1, required=True), "url": _URL, "icon_url": _URL},
    "embed footer": {"text": Text(2048, 1, required=True), "icon_url": _URL},
    "media": {"url": Text(2048, 1, required=True, schemes=_SCHEMES)},
    "file": {"url": Text(2048, 1, required=True, schemes=("attachment",))},
    "gallery item": {"media": Form("media", required=True), "description": _ALT_TEXT, "spoiler": Boolean()},
    "emoji": {"name": Text(32), "animated": Boolean()},
    "option": {
        "label": Text(100, 1, required=True),
        "value": Text(100, 1, required=True),
        "description": Text(100),
        "emoji": Form("emoji"),
        "default": Boolean(),
    },
    "default value": {
        "id": Snowflake(required=True),
        "type": OneOf(("user", "role", "channel"), required=True),
    },
    "modal": {
        "custom_id": _CUSTOM_ID,
        "title": Text(45, 1, required=True),
        "components": Items(Component(MODAL_TOP), MODAL_COMPONENTS, 1, required=True),
    },
    "autocomplete": {"choices": Items(Form("choice"), AUTOCOMPLETE_CHOICES, required=True)},
    "choice": {"name": Text(100, 1, required=True), "name_localizations": Texts(Text(100, 1))},
    "command": {
        "name": _COMMAND_NAME,
        "name_localizations": Texts(Text(32, 1)),
        "description": Text(100),
        "description_localizations": Texts(Text(100, 1)),
        "type": OneOf((1, 2, 3)),
        "options": Items(Form("command option"), 25),
        "nsfw": Boolean(),
        "dm_permission": Boolean(),
        "contexts": Items(OneOf((0, 1, 2)), 3, 1),
        "integration_types": Items(OneOf((0, 1)), 2, 1),
    },
    "slash command": {"name": Text(32, 1, required=True, pattern=_SLASH_NAME), "description": _DESCRIPTION},
    "command option": {
        "type": Integer(1, 11, required=True),
        "name": Text(32, 1, required=True, pattern=_SLASH_NAME),
        "name_localizations": Texts(Text(32, 1)),
        "description": _DESCRIPTION,
        "description_localizations": Texts(Text(100, 1)),
        "required": Boolean(),
        "autocomplete": Boolean(),
        "choices": Items(Form("choice"), 25),
        "options": Items(Form("command option"), 25),
        "channel_types": Items(Integer(0, 20), 20),
        "min_value": Number(),
        "max_value": Number(),
        "min_length": Integer(0, 6000),
        "max_length": Integer(1, 6000),
    },
    "refresh": {"attachment_urls": Items(Text(2048, 1), 50, required=True)},
    "direct message": {"recipient_id": Snowflake(required=True)},
}
