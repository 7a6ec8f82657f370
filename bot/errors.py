"""The one error that users see: a code and the values of its sentence, rendered by `bot.texts` at the edge."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right. `code` names a sentence under `[error]` in bot/texts; `values` fill it in."""

    def __init__(self, code: str, /, **values: object) -> None:
        super().__init__(f"{code} {values}")
        self.code = code
        self.values = values


class StartupError(Exception):
    """Fourfold cannot start; the sentence says what is wrong and how to mend it. Shown by the terminal, never on Discord."""
