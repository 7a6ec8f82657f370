"""The words of a job's message."""

from __future__ import annotations

import re

from bot.domain import Action, Job, JobUpdate, Safety
from bot.errors import UserError
from bot.prompting import Prompt, format_prompt
from bot.texts import DEFAULT_LOCALE, say

SHOWN_CHARACTERS = 1500
ESCAPED_CHARACTERS = 1600
"""Escaping lengthens a prompt; with what else stands in a message it must stay below Discord's 2,000."""
ALT_CHARACTERS = 1000
WORDS_CHARACTERS = 120
_MARKDOWN = re.compile(r"([\\*_~|`<>\[\]()#])")


def waiting_text(job: Job, update: JobUpdate | None = None) -> str:
    """While the job waits; the first answer has no update yet."""
    if update is not None and update.loading:
        return _with_state(job, say("message.loading", loading=update.loading))
    if update is not None and update.place is not None:
        return _with_state(job, say("message.waiting_place", place=update.place, eta=update.eta))
    return _with_state(job, say("message.waiting"))


def progress_text(job: Job, update: JobUpdate) -> str:
    """While the job runs."""
    if update.loading:
        return _with_state(job, say("message.loading", loading=update.loading))
    return _with_state(job, say("message.percent", percent=int(100 * (update.fraction or 0))))


def cancelled_text(job: Job) -> str:
    """What stays of a cancelled job."""
    return _with_state(job, say("message.cancelled"))


def failed_text(job: Job, error: UserError) -> str:
    """What stays of a failed job, with the reason."""
    return (
        _with_state(job, say("message.failed"))
        + "\n"
        + say(f"error.{error.code}", DEFAULT_LOCALE, **error.values)
    )


def result_text(job: Job, *, by_direct_message: bool = False) -> str:
    """Above the finished pictures: whose they are, the seed, and what the model could not make use of."""
    lines = [_with_state(job, say("message.done"))]
    if by_direct_message:
        lines.insert(0, say("message.by_direct_message", channel_id=job.destination.channel_id))
    lines.append(say("message.seed", seed=job.images[0].seed if job.images else job.seeds[0]))
    withheld = sum(image.safety is Safety.FLAGGED for image in job.images)
    if withheld == 1:
        lines.append(say("message.flagged_one"))
    elif withheld:
        lines.append(say("message.flagged_many", count=withheld))
    if job.unread_words:
        lines.append(say("message.unread_words", words=_some(job.unread_words)))
    if job.unknown_words:
        lines.append(say("message.unknown_words", words=_some(job.unknown_words)))
    return "\n".join(lines)


def typed(job: Job) -> str:
    """The prompt with its flags on one line, as it would be typed again."""
    return " ".join(format_prompt(Prompt(job.prompt, job.parameters)).split())


def alt_text(job: Job) -> str:
    """What a screen reader says of the picture."""
    return _shortened(" ".join(job.prompt.split()), ALT_CHARACTERS)


def shown(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """A user's text as plain text: cut, and with nothing that Discord would format, link or notify about."""
    for kept in range(min(characters, len(text)), 0, -50):
        escaped = _MARKDOWN.sub(r"\\\1", _shortened(text, kept))
        # A zero-width space keeps mentions and links from being recognised where a backslash does not.
        escaped = escaped.replace("@", "@\u200b").replace("://", ":\u200b//")
        if len(escaped) <= ESCAPED_CHARACTERS:
            return escaped
    return ""


def _with_state(job: Job, state: str) -> str:
    owner = f"<@{job.owner_id}>"
    prompt = shown(typed(job))
    match job.action:
        case Action.UPSCALE:
            title = say("message.upscale", prompt=prompt, number=(job.parent_index or 0) + 1, owner=owner)
        case Action.VARY:
            title = say("message.vary", prompt=prompt, owner=owner)
        case _:
            title = say("message.imagine", prompt=prompt, owner=owner)
    return say("message.state", title=title, state=state)


def _some(words: tuple[str, ...]) -> str:
    return shown(_shortened(", ".join(words), WORDS_CHARACTERS))


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
