"""The engine's errors, named by what the caller can do about them."""

from __future__ import annotations


class EngineError(Exception):
    """An error with a stable `code` and the `values` that its sentence is made of.

    The sentence (`str(error)`) is complete English for logs and the terminal; the bot renders its own from
    code and values.
    """

    def __init__(self, code: str, sentence: str, **values: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.values = values

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.code, str(self), self.values)


class RequestRejected(EngineError):
    """The request is wrong for the model; nothing was queued. Change the request and submit again."""


class ModelUnavailable(EngineError):
    """A configured model is missing, unreadable or of no supported family. Change the configuration."""


class GenerationFailed(EngineError):
    """This request failed; the engine goes on. Submitting the same request again may succeed."""


class EngineDead(EngineError):
    """The engine thread has stopped; no request will be served until the process starts again."""


def _rebuild(kind: type[EngineError], code: str, sentence: str, values: dict[str, object]) -> EngineError:
    return kind(code, sentence, **values)
