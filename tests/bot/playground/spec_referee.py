"""Holds recorded REST exchanges against Discord's own OpenAPI spec.

    referee = SpecReferee(Path(spec))
    playground.observe(referee)
    ...
    assert referee.complaints() == []

Requests may carry snowflakes as integers, as discord.py sends them and Discord takes them; replies may not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from bot.playground import Exchange
from bot.playground.routes.request import split_multipart

Json = dict[str, Any]

SPEC_VARIABLE = "DISCORD_OPENAPI_SPEC"

NOT_IN_THE_SPEC = {"POST /attachments/refresh-urls"}
"""Routes that Discord has and its spec does not."""


def referee_or_skip() -> SpecReferee:
    """The referee for the spec that the environment names; skips the test where it names none."""
    named = os.environ.get(SPEC_VARIABLE)
    if not named:
        pytest.skip(f"{SPEC_VARIABLE} does not name Discord's openapi.json")
    if not Path(named).is_file():
        pytest.skip(f"{SPEC_VARIABLE} names {named}, which is not a file")
    return SpecReferee(Path(named))


class SpecReferee:
    def __init__(self, spec: Path) -> None:
        self._spec: Json = json.loads(spec.read_text("utf-8"))
        self._routes = [
            (path, re.compile(re.sub(r"\{[^/]+\}", "[^/]+", path)))
            for path in sorted(self._spec["paths"], key=lambda path: path.count("{"))
        ]
        # The spec gives errors inside forms the integer codes of whole answers; Discord's documentation and practice
        # have names there, as in BASE_TYPE_MAX_LENGTH.
        inner = self._spec["components"]["schemas"]["InnerErrors"]["properties"]["_errors"]
        inner["items"] = {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
        self._exchanges: list[Exchange] = []
        lenient = deepcopy(self._spec)
        strict = self._spec["components"]["schemas"]["SnowflakeType"]
        lenient["components"]["schemas"]["SnowflakeType"] = {
            "anyOf": [strict, {"type": "integer", "minimum": 0}]
        }
        self._for_requests = _registry(lenient)
        self._for_replies = _registry(self._spec)
        self._validator = extend(Draft202012Validator, {"oneOf": self._union, "anyOf": self._union})

    def __call__(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)

    def __len__(self) -> int:
        return len(self._exchanges)

    def complaints(self) -> list[str]:
        """One line for each request and reply that breaks the spec, in their order."""
        return [complaint for exchange in self._exchanges for complaint in self._judge(exchange)]

    def _judge(self, exchange: Exchange) -> Iterator[str]:
        name = f"{exchange.method} {exchange.path}"
        if name in NOT_IN_THE_SPEC:
            return
        path = next((path for path, pattern in self._routes if pattern.fullmatch(exchange.path)), None)
        operation = self._spec["paths"].get(path, {}).get(exchange.method.lower())
        if path is None or operation is None:
            yield f"{name}: Discord has no such route"
            return
        steps = ["paths", path, exchange.method.lower()]
        # What the stand-in refused may well break the spec: that is why it was refused.
        if exchange.status < 400 and exchange.request_body:
            where = [*steps, "requestBody", "content", "application/json", "schema"]
            yield from self._check(f"request {name}", _request_json(exchange), where, self._for_requests)
        yield from self._judge_reply(exchange, f"reply {exchange.status} to {name}", operation, steps)

    def _judge_reply(self, exchange: Exchange, name: str, operation: Json, steps: list[str]) -> Iterator[str]:
        status = str(exchange.status)
        declared = next((key for key in (status, f"{status[0]}XX") if key in operation["responses"]), None)
        if declared is None:
            if exchange.status < 500:
                yield f"{name}: Discord never answers that"
            return
        where = [*steps, "responses", declared]
        response = operation["responses"][declared]
        if "$ref" in response:
            where = response["$ref"].removeprefix("#/").split("/")
            response = self._spec["components"]["responses"][where[-1]]
        if "content" not in response:
            if exchange.response_body:
                yield f"{name}: has a body"
        elif exchange.response_type != "application/json":
            yield f"{name}: Content-Type is {exchange.response_type!r}"
        else:
            where = [*where, "content", "application/json", "schema"]
            yield from self._check(name, json.loads(exchange.response_body), where, self._for_replies)

    def _check(self, name: str, body: Any, where: list[str], registry: Registry) -> Iterator[str]:
        pointer = "/".join(
            step.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
            for step in where
        )
        validator = self._validator(
            {"$ref": f"urn:discord#/{pointer}"}, registry=registry, format_checker=_FORMATS
        )
        for error in validator.iter_errors(body):
            path = ".".join(map(str, error.absolute_path))
            yield f"{name}: {path or 'body'}: {error.message[:300]}"

    def _union(
        self, validator: Any, branches: list[Json], instance: Any, schema: Json
    ) -> Iterator[ValidationError]:
        """Choose the branch by the instance's `type`, so that an error speaks of what was meant."""
        if isinstance(instance, dict) and "type" in instance:
            meant = [branch for branch in branches if instance["type"] in self._types(branch)]
            if len(meant) == 1:
                yield from validator.descend(instance, meant[0])
                return
        errors = []
        for branch in branches:
            found = list(validator.evolve(schema=branch).iter_errors(instance))
            if not found:
                return
            errors += found
        worst = best_match(errors)
        yield ValidationError(
            f"fits no branch; nearest: {worst.message if worst else branches}", context=errors
        )

    def _types(self, branch: Json) -> list[Any]:
        target = branch
        while "$ref" in target:
            target = self._spec["components"]["schemas"][target["$ref"].rpartition("/")[2]]
        kind = target.get("properties", {}).get("type", {})
        return kind.get("enum") or ([kind["const"]] if "const" in kind else [])


def _registry(spec: Json) -> Registry:
    resource: Resource = Resource(contents=spec, specification=DRAFT202012)
    return Registry().with_resource("urn:discord", resource)


def _request_json(exchange: Exchange) -> Any:
    if exchange.request_type.startswith("multipart/form-data"):
        parts = split_multipart(exchange.request_body, exchange.request_type)
        return next(json.loads(content) for name, _, content in parts if name == "payload_json")
    return json.loads(exchange.request_body)


_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme)
