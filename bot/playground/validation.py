"""Walks a form of the limits table over a value and reports what Discord would, field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from bot.playground.errors import FormErrors, Path
from bot.playground.limits import (
    COMPONENTS,
    FORMS,
    Boolean,
    Component,
    Form,
    Integer,
    Items,
    Number,
    OneOf,
    Rule,
    Snowflake,
    Text,
    Texts,
    Timestamp,
)


def check_form(form: str, value: object, path: Path, errors: FormErrors) -> bool:
    """Check `value` against FORMS[form]; returns whether it is an object at all. Unknown fields are ignored."""
    if not isinstance(value, dict):
        errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
        return False
    _check_fields(FORMS[form], value, path, errors)
    return True


def check(rule: Rule, value: Any, path: Path, errors: FormErrors) -> None:
    match rule:
        case Text():
            _check_text(rule, value, path, errors)
        case Integer(minimum, maximum):
            if isinstance(value, bool) or not isinstance(value, int):
                errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
            elif value < minimum:
                errors.add(
                    path, "NUMBER_TYPE_MIN", f"int value should be greater than or equal to {minimum}."
                )
            elif value > maximum:
                errors.add(path, "NUMBER_TYPE_MAX", f"int value should be less than or equal to {maximum}.")
        case Number():
            if isinstance(value, bool) or not isinstance(value, int | float):
                errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not a number.')
        case Boolean():
            if not isinstance(value, bool):
                errors.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        case Snowflake():
            # discord.py sends many ids as integers; Discord takes both.
            if not (
                (isinstance(value, int) and not isinstance(value, bool))
                or (isinstance(value, str) and value.isdecimal())
            ):
                errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
        case Timestamp():
            if not _is_timestamp(value):
                errors.add(
                    path, "DATE_TIME_TYPE_PARSE", f"Could not parse {value}. Should be ISO8601 datetime."
                )
        case Form(of):
            check_form(of, value, path, errors)
        case OneOf(values):
            if value not in values or isinstance(value, bool):
                errors.add(
                    path, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(map(str, values))}}}."
                )
        case Texts(of):
            if not isinstance(value, dict):
                errors.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
            else:
                for locale, text in value.items():
                    _check_text(of, text, (*path, locale), errors)
        case Items(of, maximum, minimum):
            if not isinstance(value, list):
                errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
                return
            if not minimum <= len(value) <= maximum:
                errors.add(path, "BASE_TYPE_BAD_LENGTH", _length_message(minimum, maximum))
            for index, item in enumerate(value):
                check(of, item, (*path, index), errors)
        case Component(types):
            if not isinstance(value, dict):
                errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            elif value.get("type") not in types:
                allowed = ", ".join(map(str, types))
                errors.add(
                    (*path, "type"),
                    "UNION_TYPE_CHOICES",
                    f'Value of field "type" must be one of ({allowed}).',
                )
            else:
                _check_fields(COMPONENTS[value["type"]], value, path, errors)


def _check_fields(rules: Mapping[str, Rule], value: dict[str, Any], path: Path, errors: FormErrors) -> None:
    for name, rule in rules.items():
        if value.get(name) is not None:
            check(rule, value[name], (*path, name), errors)
        elif rule.required:
            errors.add((*path, name), "BASE_TYPE_REQUIRED", "This field is required")


def _check_text(rule: Text, value: object, path: Path, errors: FormErrors) -> None:
    if not isinstance(value, str):
        errors.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.")
        return
    if not rule.minimum <= len(value) <= rule.maximum:
        if rule.minimum == 1 and not value:
            errors.add(path, "BASE_TYPE_REQUIRED", "This field is required")
        elif rule.minimum:
            errors.add(path, "BASE_TYPE_BAD_LENGTH", _length_message(rule.minimum, rule.maximum))
        else:
            errors.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {rule.maximum} or fewer in length.")
    elif rule.pattern is not None and not (re.fullmatch(rule.pattern, value) and value == value.lower()):
        errors.add(path, "STRING_TYPE_REGEX", "String value did not match validation regex.")
    elif rule.schemes and value:
        scheme = _scheme(value)
        if scheme not in rule.schemes:
            message = f'Scheme "{scheme}" is not supported. Scheme must be one of {rule.schemes}.'
            errors.add(path, "URL_TYPE_INVALID_SCHEME", message)


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme
    except ValueError:  # An unclosed bracket of an IPv6 address.
        return ""


def _is_timestamp(value: object) -> bool:
    # Python alone reads weeks ("2026-W01") and days without hyphens, which browsers do not.
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _length_message(minimum: int, maximum: int) -> str:
    return f"Must be between {minimum} and {maximum} in length."
