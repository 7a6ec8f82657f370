"""The words of a job's message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from bot.domain import Action, Job, JobUpdate, Safety
from bot.errors import UserError
from bot.prompting import Prompt, asked_size, format_prompt, unheeded
from bot.texts import DEFAULT_LOCALE, codes, say

MESSAGE_CHARACTERS = 2000
SHOWN_CHARACTERS = 1500
ESCAPED_CHARACTERS = 1600
"""Escaping lengthens a prompt; with what else stands in a message it must stay below Discord's 2,000."""
ALT_CHARACTERS = 1000
WORDS_CHARACTERS = 120
REASON_CHARACTERS = 300
TEXT_CHARACTERS = 300
TEXT_ROOM = 400
"""Of each prompt that was found: four of them and their picture's title stay below Discord's limit."""
_PIECE = re.compile(r"://|.", re.DOTALL)
_MARKDOWN = frozenset("\\*_~|`<>[]()#")


def waiting_text(job: Job, update: JobUpdate | None = None) -> str:
    """While the job waits; the first answer has no update yet."""
    if update is not None and update.loading:
        return _with_state(job, say("message.loading", job.locale, loading=update.loading))
    if update is not None and update.place is not None:
        return _with_state(job, say("message.waiting_place", job.locale, place=update.place, eta=update.eta))
    return _with_state(job, say("message.waiting", job.locale))


def progress_text(job: Job, update: JobUpdate) -> str:
    """While the job runs."""
    if update.loading:
        return _with_state(job, say("message.loading", job.locale, loading=update.loading))
    return _with_state(job, say("message.percent", job.locale, percent=int(100 * (update.fraction or 0))))


def cancelled_text(job: Job) -> str:
    """What stays of a cancelled job."""
    return _with_state(job, say("message.cancelled", job.locale))


def failed_text(job: Job, error: UserError) -> str:
    """What stays of a failed job, with the reason."""
    return _with_state(job, say("message.failed", job.locale), below=[error_text(error, job.locale)])


def unposted_text(job: Job) -> str:
    """What stays of a finished job that nobody could be reached with."""
    return _with_state(
        job, say("message.not_posted", job.locale), below=[error_text(failure_of(job), job.locale)]
    )


def result_text(job: Job, *, by_direct_message: bool = False, earlier: str | None = None) -> str:
    """Above the finished pictures: whose they are, the seed, and what the model could not make use of.

    Args:
        earlier: the link to the message with the earlier picture that one of these looks like.
    """
    above = []
    if by_direct_message:
        above.append(say("message.by_direct_message", job.locale, channel_id=job.destination.channel_id))
    if job.action is Action.DESCRIBE:
        below = [
            say(
                "message.described", job.locale, number=number, prompt=shown(text, TEXT_CHARACTERS, TEXT_ROOM)
            )
            for number, text in enumerate(job.texts, 1)
        ]
        return _with_state(job, None, above=above, below=below)
    below = [say("message.seed", job.locale, seed=job.images[0].seed if job.images else job.seeds[0])]
    withheld = sum(image.safety is Safety.FLAGGED for image in job.images)
    if withheld == 1:
        below.append(say("message.flagged_one", job.locale))
    elif withheld:
        below.append(say("message.flagged_many", job.locale, count=withheld))
    if job.images:
        width, height = job.images[0].width, job.images[0].height
        asked = asked_size(job, width, height)
        if asked is not None:
            below.append(say("message.rounded", job.locale, width=width, height=height, asked=asked))
    below += [say("message.unheeded", job.locale, parameter=parameter) for parameter in unheeded(job)]
    if job.unread_words:
        below.append(say("message.unread_words", job.locale, words=_some(job.unread_words)))
    if job.unknown_words:
        below.append(say("message.unknown_words", job.locale, words=_some(job.unknown_words)))
    if job.likeness is not None and job.likeness.cells:
        cells = ", ".join(str(cell + 1) for cell in job.likeness.cells)
        below.append(say("message.alike", job.locale, cells=cells))
    if job.likeness is not None and earlier is not None:
        cell = job.likeness.index + 1
        below.append(say("message.alike_earlier", job.locale, cell=cell, link=earlier))
    return _with_state(job, None, above=above, below=below)


def error_text(error: UserError, locale: str = DEFAULT_LOCALE) -> str:
    """The error's sentence. What somebody else said, a disk or a library, is cut and shown as plain text."""
    # A row may carry a code that this version no longer knows.
    code = error.code if f"error.{error.code}" in codes() else "internal_error"
    reason = shown(str(error.values.get("reason", "")), REASON_CHARACTERS)
    return say(f"error.{code}", locale, **{**error.values, "reason": reason})


def failure_of(job: Job) -> UserError:
    """Why a job failed or was not posted, as its row says."""
    return UserError(job.error_code or "internal_error", **(job.error_values or {}))


def typed(job: Job) -> str:
    """The prompt with its flags on one line, as it would be typed again."""
    return " ".join(format_prompt(Prompt(job.prompt, job.parameters)).split())


def named(job: Job, locale: str) -> str:
    """The same, or for a job without words what it does, with its flags."""
    if job.prompt:
        return typed(job)
    match job.action:
        case Action.DESCRIBE:
            name = say("message.name_describe", locale)
        case Action.BLEND if job.strip:
            name = say("message.name_strip", locale)
        case Action.BLEND if job.reference_count > 1:
            name = say("message.name_blend", locale, count=job.reference_count)
        case Action.BLEND:
            name = say("message.name_variations", locale)
        case _:
            name = say("message.name_none", locale)
    return " ".join([name, typed(job)]).strip()


def alt_text(job: Job) -> str:
    """What a screen reader says of the picture."""
    if not job.prompt:
        return _shortened(" ".join(job.texts[:1]) or named(job, job.locale), ALT_CHARACTERS)
    return _shortened(" ".join(job.prompt.split()), ALT_CHARACTERS)


def shown(text: str, characters: int = SHOWN_CHARACTERS, room: int = ESCAPED_CHARACTERS) -> str:
    """A user's text as plain text: cut, and with nothing that Discord would format, link or notify about.

    Args:
        characters: of the text itself that are shown at most.
        room: characters that the escaped text may take.
    """
    pieces = [_plain(piece) for piece in _PIECE.findall(_shortened(text, characters))]
    if sum(map(len, pieces)) <= room:
        return "".join(pieces)
    ends = accumulate(map(len, pieces))
    # Cut between pieces: half an escape would set free what it was to hide.
    kept = [piece for piece, end in zip(pieces, ends, strict=True) if end < room]
    return "".join(kept).rstrip() + "…"


def _plain(piece: str) -> str:
    # A zero-width space keeps mentions and links from being recognised where a backslash does not.
    if piece == "://":
        return ":\u200b//"
    if piece == "@":
        return "@\u200b"
    return f"\\{piece}" if piece in _MARKDOWN else piece


def _with_state(job: Job, state: str | None, *, above: Sequence[str] = (), below: Sequence[str] = ()) -> str:
    """The lines of a message; its prompt takes the room that everything else leaves. A finished job has no state."""

    def lines(prompt: str) -> str:
        owner = f"<@{job.owner_id}>"
        match job.action:
            case Action.UPSCALE:
                title = say(
                    "message.upscale",
                    job.locale,
                    prompt=prompt,
                    number=(job.parent_index or 0) + 1,
                    owner=owner,
                )
            case Action.VARY:
                title = say("message.vary", job.locale, prompt=prompt, owner=owner)
            case _:
                title = say("message.imagine", job.locale, prompt=prompt, owner=owner)
        first = title if state is None else say("message.state", job.locale, title=title, state=state)
        return "\n".join([*above, first, *below])

    return lines(
        shown(named(job, job.locale), room=min(ESCAPED_CHARACTERS, MESSAGE_CHARACTERS - len(lines(""))))
    )


def _some(words: tuple[str, ...]) -> str:
    return shown(_shortened(", ".join(words), WORDS_CHARACTERS))


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
