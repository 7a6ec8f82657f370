"""What every route needs of a request: its JSON, its files, its query, and who is asking."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import Any

from aiohttp import web

from bot.playground import errors
from bot.playground.attachments import UploadedFile
from bot.playground.limits import REQUEST_BYTES
from bot.playground.strict_json import parse_json

_HEADERS = BytesHeaderParser()


@dataclass(frozen=True)
class Body:
    payload: Any
    files: dict[str, UploadedFile] = field(default_factory=dict)


async def read_body(request: web.Request, *, upload_limit: int = 0) -> Body:
    """JSON, or multipart with `payload_json` and `files[n]`; raises 413 above Discord's request size, 400 for bad JSON."""
    content = await request.read()
    if len(content) > max(REQUEST_BYTES, upload_limit + (1 << 20)):
        raise errors.too_large()
    if request.content_type != "multipart/form-data":
        return Body(_json(content))
    payload: Any = {}
    files = {}
    for name, filename, data in split_multipart(content, request.headers["Content-Type"]):
        if name == "payload_json":
            payload = _json(data)
        elif name.startswith("files[") and filename is not None:
            files[name[6:-1]] = UploadedFile(filename, data)
        elif filename is not None:
            # The older names (`file`, `file0`) work as well, numbered in their order.
            files[str(len(files))] = UploadedFile(filename, data)
    return Body(payload, files)


def json_response(body: Any, *, status: int = 200) -> web.Response:
    # Exactly "application/json": with a charset behind it discord.py would leave the body a string.
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")


def no_content() -> web.Response:
    return web.Response(status=204)


def split_multipart(content: bytes, content_type: str) -> list[tuple[str, str | None, bytes]]:
    """The (name, file name, bytes) of every part. Whole bodies are in memory already, so no streaming parser is needed."""
    header = f"Content-Type: {content_type}\r\n\r\n".encode("utf-8", "surrogateescape")
    boundary = _HEADERS.parsebytes(header).get_boundary()
    if not boundary:
        raise errors.invalid_json()
    parts = []
    for chunk in content.split(b"--" + boundary.encode())[1:-1]:
        head, separator, data = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = _HEADERS.parsebytes(head)
        name = headers.get_param("name", header="content-disposition")
        if separator and isinstance(name, str):
            filename = headers.get_filename()
            parts.append((name, filename and _decode(filename), data.removesuffix(b"\r\n")))
    return parts


def query_integer(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    # No snowflake is longer, and Python refuses to read numbers that are much longer.
    if not value.isdecimal() or len(value) > 20:
        raise errors.form_error((name,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
    return int(value)


def _json(content: bytes) -> Any:
    try:
        return parse_json(content) if content else {}
    except ValueError as error:
        raise errors.invalid_json() from error


def _decode(filename: str) -> str:
    # The header parser reads raw bytes as surrogates; browsers and aiohttp put UTF-8 there.
    return filename.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
