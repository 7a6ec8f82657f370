"""What Discord refuses about a message's form: the table's limits and the rules between fields."""

from __future__ import annotations

from typing import Any

from bot.playground.components import check_button, check_duplicates, walk
from bot.playground.errors import FormErrors, Path
from bot.playground.limits import (
    BUTTON,
    CLASSIC_ROWS,
    CLASSIC_TOP,
    EMBED_TEXT_TOTAL,
    ROW,
    SELECTS,
    STRING_SELECT,
    TEXT_DISPLAY,
    V2_COMPONENTS,
    V2_TEXT_TOTAL,
    V2_TOP,
    Component,
    Items,
)
from bot.playground.rendering import COMPONENTS_V2
from bot.playground.validation import check, check_form

Json = dict[str, Any]


def check_message(payload: object, *, base: Path = (), v2: bool = False) -> Json:
    """Raise Discord's 400 unless `payload` is a valid create or edit; `v2` where the edited message already is V2.

    `base` is where the message stands in the request: ("data",) in an interaction callback.
    """
    errors = FormErrors()
    check_form("message", payload, base, errors)
    if not isinstance(payload, dict) or not isinstance(payload.get("flags") or 0, int):
        errors.raise_if_any()
    assert isinstance(payload, dict)
    sound = not errors
    v2 = v2 or bool((payload.get("flags") or 0) & COMPONENTS_V2)
    if v2:
        for name in ("content", "embeds"):
            if payload.get(name):
                message = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                errors.add((*base, name), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", message)
    _check_components(payload.get("components"), v2, (*base, "components"), errors)
    if sound:
        _check_embeds(payload.get("embeds") or [], (*base, "embeds"), errors)
        _check_mentions(payload.get("allowed_mentions") or {}, (*base, "allowed_mentions"), errors)
    nonce = payload.get("nonce")
    if nonce is not None and (not isinstance(nonce, str | int) or len(str(nonce)) > 25):
        errors.add((*base, "nonce"), "NONCE_TYPE_TOO_LONG", "Nonce must be 25 or fewer in length.")
    errors.raise_if_any()
    return payload


def _check_components(components: Any, v2: bool, path: Path, errors: FormErrors) -> None:
    if components is None:
        return
    earlier = errors.count
    top = Items(Component(V2_TOP), V2_COMPONENTS) if v2 else Items(Component(CLASSIC_TOP), CLASSIC_ROWS)
    check(top, components, path, errors)
    if errors.count > earlier:
        return
    everything = list(walk(components, path))
    for component, where in everything:
        check_button(component, where, errors)
        if component["type"] == ROW:
            _check_row(component["components"], where, errors)
        if component["type"] == STRING_SELECT:
            check_select(component, where, errors)
    check_duplicates(components, errors)
    if len(everything) > V2_COMPONENTS:
        message = f"The maximum number of components on this message is {V2_COMPONENTS}"
        errors.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", message)
    if (
        sum(len(component["content"]) for component, _ in everything if component["type"] == TEXT_DISPLAY)
        > V2_TEXT_TOTAL
    ):
        message = (
            f"The total displayable text size on this message or modal exceeds the maximum of {V2_TEXT_TOTAL}"
        )
        errors.add(path, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)


def _check_row(children: list[Json], path: Path, errors: FormErrors) -> None:
    buttons = [child for child in children if child["type"] == BUTTON]
    selects = [child for child in children if child["type"] in SELECTS]
    if len(buttons) + len(selects) < len(children):
        errors.add((*path, "components"), "UNION_TYPE_CHOICES", "Text inputs can only be used in modals.")
    elif selects and len(children) > 1:
        message = "A row holds either up to five buttons or one select."
        errors.add((*path, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", message)


def check_select(select: Json, path: Path, errors: FormErrors) -> None:
    values = [option["value"] for option in select["options"]]
    for index, value in enumerate(values):
        if value in values[:index]:
            message = "The specified option value is already used"
            errors.add(
                (*path, "options", index, "value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message
            )
    most = 1 if select.get("max_values") is None else select["max_values"]
    if most > len(values):
        errors.add(
            (*path, "max_values"),
            "BASE_TYPE_BAD_LENGTH",
            f"Must be at most the number of options ({len(values)}).",
        )
    if (1 if select.get("min_values") is None else select["min_values"]) > most:
        errors.add((*path, "min_values"), "BASE_TYPE_BAD_LENGTH", f"Must be at most max_values ({most}).")


def _check_embeds(embeds: list[Json], path: Path, errors: FormErrors) -> None:
    total = 0
    for index, embed in enumerate(embeds):
        size = len(embed.get("title") or "") + len(embed.get("description") or "")
        size += len((embed.get("footer") or {}).get("text") or "") + len(
            (embed.get("author") or {}).get("name") or ""
        )
        size += sum(len(field["name"]) + len(field["value"]) for field in embed.get("fields") or ())
        total += size
        if total > EMBED_TEXT_TOTAL:
            message = f"Embed size exceeds maximum size of {EMBED_TEXT_TOTAL}"
            errors.add((*path, index), "MAX_EMBED_SIZE_EXCEEDED", message)


def _check_mentions(allowed: Json, path: Path, errors: FormErrors) -> None:
    for name in ("users", "roles"):
        if name in (allowed.get("parse") or ()) and allowed.get(name):
            message = f"parse:[{name!r}] and {name}: [ids...] are mutually exclusive."
            errors.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message)
