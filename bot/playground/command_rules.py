"""What Discord refuses about a list of commands: the table's limits and the rules between fields."""

from __future__ import annotations

from typing import Any

from bot.playground.errors import FormErrors, Path
from bot.playground.limits import COMMAND_TEXT_TOTAL, COMMANDS_OF_TYPE
from bot.playground.validation import check_form

Json = dict[str, Any]

SUBCOMMAND, GROUP = 1, 2
_WITH_CHOICES = (3, 4, 10)


def check_commands(payload: object) -> list[Json]:
    """Raise Discord's 400 unless `payload` may replace an application's commands."""
    errors = FormErrors()
    if not isinstance(payload, list):
        errors.add((), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        errors.raise_if_any()
        return []
    seen: set[tuple[str, str]] = set()
    for index, command in enumerate(payload):
        if not check_form("command", command, (index,), errors):
            continue
        kind = command.get("type") or 1
        if kind == 1:
            check_form("slash command", command, (index,), errors)
        elif command.get("description") or command.get("options"):
            message = "Context menu commands cannot have description"
            errors.add(
                (index, "description"), "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_INVALID", message
            )
        identity = (str(kind), str(command.get("name")))
        if identity in seen:
            message = "Application command names must be unique"
            errors.add((index,), "APPLICATION_COMMANDS_DUPLICATE_NAME", message)
        seen.add(identity)
        _check_permissions(command, (index,), errors)
    errors.raise_if_any()
    for index, command in enumerate(payload):
        _check_options(command.get("options") or [], (index, "options"), 0, errors)
        if _text_size(command) > COMMAND_TEXT_TOTAL:
            message = f"Command exceeds maximum size ({COMMAND_TEXT_TOTAL})"
            errors.add((index,), "APPLICATION_COMMAND_TOO_LARGE", message)
    for kind, maximum in COMMANDS_OF_TYPE.items():
        if sum((command.get("type") or 1) == kind for command in payload) > maximum:
            message = f"Maximum number of application commands reached ({maximum})."
            errors.add((), "BASE_TYPE_BAD_LENGTH", message)
    errors.raise_if_any()
    return payload


def _check_options(options: list[Json], path: Path, depth: int, errors: FormErrors) -> None:
    names: set[str] = set()
    optional_seen = False
    nested = [option["type"] in (SUBCOMMAND, GROUP) for option in options]
    if any(nested) and not all(nested):
        message = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        errors.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)
    for index, option in enumerate(options):
        where = (*path, index)
        if option["name"] in names:
            message = "Option names must be unique"
            errors.add((*where, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", message)
        names.add(option["name"])
        if option["type"] in (SUBCOMMAND, GROUP):
            if depth > (0 if option["type"] == GROUP else 1):
                message = "Sub-commands cannot be nested this deep"
                errors.add(where, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)
            _check_options(option.get("options") or [], (*where, "options"), depth + 1, errors)
            continue
        if option.get("required") and optional_seen:
            message = "Required options must be placed before non-required options"
            errors.add(where, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message)
        optional_seen = optional_seen or not option.get("required")
        _check_choices(option, where, errors)


def _check_choices(option: Json, path: Path, errors: FormErrors) -> None:
    choices = option.get("choices") or []
    if (choices or option.get("autocomplete")) and option["type"] not in _WITH_CHOICES:
        errors.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "This option type cannot have choices.")
    if choices and option.get("autocomplete"):
        message = "Autocomplete and choices are mutually exclusive"
        errors.add(
            (*path, "autocomplete"), "APPLICATION_COMMAND_OPTIONS_CHOICES_AUTOCOMPLETE_EXCLUSIVE", message
        )
    check_choice_values(choices, option["type"], path, errors)


def check_choice_values(choices: list[Json], option_type: int, path: Path, errors: FormErrors) -> None:
    """Each choice needs a value of its option's type (3 string, 4 integer, 10 number); `path` leads to the option."""
    for index, choice in enumerate(choices):
        value, where = choice.get("value"), (*path, "choices", index, "value")
        if value is None:
            errors.add(where, "BASE_TYPE_REQUIRED", "This field is required")
        elif option_type == 3 and not isinstance(value, str):
            errors.add(where, "STRING_TYPE_CONVERT", "Could not interpret as string.")
        elif option_type == 3 and not 1 <= len(value) <= 100:
            errors.add(where, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
        elif option_type != 3 and (
            isinstance(value, bool) or not isinstance(value, int if option_type == 4 else int | float)
        ):
            kind = "int" if option_type == 4 else "a number"
            errors.add(where, "NUMBER_TYPE_COERCE", f'Value "{value}" is not {kind}.')


def _check_permissions(command: Json, path: Path, errors: FormErrors) -> None:
    value = command.get("default_member_permissions")
    if value is not None and not (str(value).isdecimal() and len(str(value)) <= 20):
        errors.add(
            (*path, "default_member_permissions"),
            "BITWISE_TYPE_CONVERT",
            "Could not interpret as a permission set.",
        )


def _text_size(command: Json) -> int:
    """Names, descriptions and string values, each with its longest localization, as Discord counts them."""

    def longest(item: Json, name: str) -> int:
        texts = [item.get(name) or "", *(item.get(f"{name}_localizations") or {}).values()]
        return max(len(text) for text in texts)

    size = longest(command, "name") + longest(command, "description")
    for option in command.get("options") or ():
        size += _text_size(option)
    for choice in command.get("choices") or ():
        size += longest(choice, "name") + len(str(choice.get("value", "")))
    return size
