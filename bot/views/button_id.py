"""A button's id: action, cell and job. What was posted stays clickable for ever, so the form never changes."""

from __future__ import annotations

import re
from uuid import UUID

TEMPLATE = re.compile(r"ff:(?P<action>[a-z]):(?P<cell>\d):(?P<job>[0-9a-f]{32})")
RESULT_ACTIONS = frozenset("uvrsp")
"""Actions that only stand below finished pictures; posting looks for them to see whether it was done before."""
UNFINISHED_ACTIONS = frozenset("c")
"""Actions that only stand below a job that waits or runs."""


def button_id(action: str, job_id: UUID, cell: int = 0) -> str:
    """The custom_id of a button; `action` is a key of clicks.CLICKS, `cell` the index of a picture."""
    return f"ff:{action}:{cell}:{job_id.hex}"


def is_button_of(custom_id: str | None, job_id: UUID, actions: frozenset[str]) -> bool:
    """Whether this id is one of these actions on exactly this job."""
    match = TEMPLATE.fullmatch(custom_id or "")
    return match is not None and match["action"] in actions and match["job"] == job_id.hex
