"""The engine's errors as sentences for users."""

from __future__ import annotations

from bot.errors import UserError
from engine import EngineDead, EngineError, RequestRejected

ENGINE_DEAD = "engine_dead"
"""The engine also ends running requests with this code when its thread stops."""
ENGINE_CLOSED = "engine_closed"
"""The program is ending; jobs stay as they are and run after the next start."""


def as_user_error(error: EngineError) -> UserError:
    """What the user is told. The engine's own sentence says what was wrong, what was got and what is allowed."""
    if isinstance(error, EngineDead) or error.code == ENGINE_DEAD:
        return UserError("engine_dead")
    if isinstance(error, RequestRejected):
        return UserError("request_rejected", reason=str(error))
    return UserError("generation_failed", reason=str(error))
