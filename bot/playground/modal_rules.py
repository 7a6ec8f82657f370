"""Modals: what a bot may open, and what a member may send back."""

from __future__ import annotations

from typing import Any

from bot.playground.components import check_duplicates, number, walk
from bot.playground.errors import FormErrors, Path
from bot.playground.limits import (
    CHECKBOX,
    CHECKBOX_GROUP,
    FILE_UPLOAD,
    LABEL,
    RADIO_GROUP,
    ROW,
    SELECTS,
    STRING_SELECT,
    TEXT_DISPLAY,
    TEXT_INPUT,
    V2_TEXT_TOTAL,
)
from bot.playground.message_rules import check_select
from bot.playground.validation import check_form

Json = dict[str, Any]


def check_modal(data: object, path: Path) -> Json:
    """Raise Discord's 400 unless `data` is a modal it would open; returns it with its components numbered."""
    errors = FormErrors()
    check_form("modal", data, path, errors)
    errors.raise_if_any()
    assert isinstance(data, dict)
    text = 0
    for component, where in walk(data["components"], (*path, "components")):
        if component["type"] == ROW:
            if len(component["components"]) > 1 or component["components"][0]["type"] != TEXT_INPUT:
                errors.add(
                    (*where, "components"),
                    "UNION_TYPE_CHOICES",
                    "An action row in a modal holds one text input.",
                )
            elif not component["components"][0].get("label"):
                errors.add((*where, "components", 0, "label"), "BASE_TYPE_REQUIRED", "This field is required")
        elif component["type"] == STRING_SELECT:
            check_select(component, where, errors)
        elif component["type"] == LABEL and component["component"].get("disabled"):
            errors.add(
                (*where, "component", "disabled"),
                "COMPONENT_DISABLED",
                "Components in modals cannot be disabled.",
            )
        elif component["type"] == TEXT_DISPLAY:
            text += len(component["content"])
        elif component["type"] == TEXT_INPUT:
            _check_bounds(component, "min_length", "max_length", 4000, where, errors)
        elif component["type"] in (FILE_UPLOAD, CHECKBOX_GROUP):
            _check_bounds(component, "min_values", "max_values", 10, where, errors)
    if text > V2_TEXT_TOTAL:
        message = (
            f"The total displayable text size on this message or modal exceeds the maximum of {V2_TEXT_TOTAL}"
        )
        errors.add((*path, "components"), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)
    check_duplicates(data["components"], errors)
    errors.raise_if_any()
    number(data["components"])
    return {name: data[name] for name in ("custom_id", "title", "components")}


def check_submission(modal: Json, sent: list[Json]) -> list[str]:
    """Raise 400 unless the inputs answer `modal`; returns the ids of uploaded files and entities they name."""
    errors = FormErrors()
    answers = {c["custom_id"]: (c, path) for c, path in walk(sent) if "custom_id" in c}
    inputs = {c["custom_id"]: c for c, _ in walk(modal["components"]) if "custom_id" in c}
    for unknown in answers.keys() - inputs.keys():
        errors.add(answers[unknown][1], "COMPONENT_VALIDATION_FAILED", "Component validation failed")
    named: list[str] = []
    for custom_id, asked in inputs.items():
        answer, path = answers.get(custom_id, ({}, ("components",)))
        if answer and answer.get("type") != asked["type"]:
            errors.add(path, "COMPONENT_VALIDATION_FAILED", "Component validation failed")
        elif asked["type"] == TEXT_INPUT:
            _check_text(asked, answer.get("value") or "", path, errors)
        elif asked["type"] == RADIO_GROUP:
            chosen = [answer["value"]] if answer.get("value") is not None else []
            _check_values(asked, chosen, (1 if asked.get("required", True) else 0, 1), path, errors)
        elif asked["type"] == CHECKBOX:
            if not isinstance(answer.get("value", False), bool):
                errors.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        else:
            most: int = asked.get("max_values") or (
                len(asked["options"]) if asked["type"] == CHECKBOX_GROUP else 1
            )
            least: int = 1 if asked.get("min_values") is None else asked["min_values"]
            values = answer.get("values") or []
            required = asked.get("required", True)
            _check_values(asked, values, (least if required or values else 0, most), path, errors)
            named += values if asked["type"] not in (STRING_SELECT, CHECKBOX_GROUP) else []
    errors.raise_if_any()
    return named


def _check_text(asked: Json, value: object, path: Path, errors: FormErrors) -> None:
    if not isinstance(value, str):
        errors.add((*path, "value"), "STRING_TYPE_CONVERT", "Could not interpret as string.")
        return
    least = asked.get("min_length") or 0
    if asked.get("required", True):
        least = max(1, least)
    most = asked.get("max_length") or 4000
    if not value and least:
        if asked.get("required", True):
            errors.add((*path, "value"), "BASE_TYPE_REQUIRED", "This field is required")
    elif not least <= len(value) <= most:
        errors.add((*path, "value"), "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def _check_values(
    asked: Json, values: object, bounds: tuple[int, int], path: Path, errors: FormErrors
) -> None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        errors.add((*path, "values"), "LIST_TYPE_CONVERT", "Must be a list of strings.")
        return
    least, most = bounds
    if not least <= len(values) <= most:
        message = f"Must be between {least} and {most} in length."
        errors.add((*path, "values"), "BASE_TYPE_BAD_LENGTH", message)
    if "options" in asked and set(values) - {option["value"] for option in asked["options"]}:
        errors.add((*path, "values"), "BASE_TYPE_CHOICES", "Value must be one of the offered options.")
    if asked["type"] not in (*SELECTS, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP):
        errors.add(path, "COMPONENT_VALIDATION_FAILED", "Component validation failed")


def _check_bounds(
    component: Json, least: str, most: str, default: int, path: Path, errors: FormErrors
) -> None:
    if (component.get(least) or 0) > (default if component.get(most) is None else component[most]):
        errors.add((*path, least), "BASE_TYPE_BAD_LENGTH", f"{least} must not be above {most}.")
