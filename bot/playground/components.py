"""Trees of components: walking them, numbering them, finding what was clicked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.playground.errors import FormErrors, Path
from bot.playground.limits import BUTTON

Json = dict[str, Any]

LINK_STYLE, PREMIUM_STYLE = 5, 6


def walk(components: list[Json], path: Path = ("components",)) -> Iterator[tuple[Json, Path]]:
    """Every component with its path, parents before children, in the order of the page."""
    for index, component in enumerate(components):
        yield from _walk_one(component, (*path, index))


def _walk_one(component: Json, path: Path) -> Iterator[tuple[Json, Path]]:
    yield component, path
    yield from walk(component.get("components") or [], (*path, "components"))
    for name in ("accessory", "component"):
        if isinstance(component.get(name), dict):
            yield from _walk_one(component[name], (*path, name))


def find(components: list[Json], custom_id: str) -> Json | None:
    return next(
        (component for component, _ in walk(components) if component.get("custom_id") == custom_id), None
    )


def number(components: list[Json]) -> None:
    """Give every component without an `id` one that is unique in its message, and fill in Discord's defaults."""
    taken = {component["id"] for component, _ in walk(components) if component.get("id")}
    following = 1
    for component, _ in walk(components):
        if not component.get("id"):
            while following in taken:
                following += 1
            taken.add(following)
            component["id"] = following
        component |= {
            name: value
            for name, value in _DEFAULTS.get(component["type"], {}).items()
            if name not in component
        }
        for holder in (component, *component.get("options", ())):
            if holder.get("emoji"):
                holder["emoji"] = {
                    name: value for name, value in holder["emoji"].items() if value is not None
                }
        for item in component.get("items", ()):
            item.setdefault("description", None)
            item.setdefault("spoiler", False)
        for name in [name for name, value in component.items() if value is None and name not in _NULLABLE]:
            del component[name]


def check_duplicates(components: list[Json], errors: FormErrors) -> None:
    seen: set[str] = set()
    ids: set[int] = set()
    for component, path in walk(components):
        custom_id = component.get("custom_id")
        if custom_id is not None and custom_id in seen:
            errors.add(
                (*path, "custom_id"),
                "COMPONENT_CUSTOM_ID_DUPLICATED",
                "Component custom id cannot be duplicated",
            )
        seen.add(custom_id or "")
        if (identifier := component.get("id")) and identifier in ids:
            errors.add((*path, "id"), "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated")
        ids.add(identifier or 0)


def check_button(button: Json, path: Path, errors: FormErrors) -> None:
    """A link has a url and no custom_id, every other button the reverse; each shows a label or an emoji."""
    if button.get("type") != BUTTON or button.get("style") == PREMIUM_STYLE:
        return
    needed, refused = ("url", "custom_id") if button.get("style") == LINK_STYLE else ("custom_id", "url")
    if not button.get(needed):
        errors.add((*path, needed), "BASE_TYPE_REQUIRED", "This field is required")
    if button.get(refused):
        errors.add(
            (*path, refused),
            "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
            "A custom id and url cannot both be specified",
        )
    if not button.get("label") and not button.get("emoji"):
        errors.add(path, "BUTTON_COMPONENT_INVALID_STYLE", "A button needs a label or an emoji")


_NULLABLE = {"accent_color", "description"}

_DEFAULTS: dict[int, Json] = {
    3: {"min_values": 1, "max_values": 1},
    5: {"min_values": 1, "max_values": 1},
    6: {"min_values": 1, "max_values": 1},
    7: {"min_values": 1, "max_values": 1},
    8: {"min_values": 1, "max_values": 1},
    11: {"description": None, "spoiler": False},
    13: {"name": None, "size": None, "spoiler": False},
    14: {"divider": True, "spacing": 1},
    17: {"accent_color": None, "spoiler": False},
}
