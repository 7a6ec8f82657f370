"""The last thing a progress message does: say how its job ended, or make room for the pictures."""

from __future__ import annotations

from bot.delivery.progress_message import ProgressMessage
from bot.domain import Job, JobState
from bot.views.job_text import cancelled_text, failed_text, failure_of, unposted_text
from bot.views.panels import failed_buttons


async def show_end(message: ProgressMessage, job: Job) -> bool:
    """Bring the message of an ended job to its end; True if that worked."""
    match job.state:
        case JobState.CANCELLED:
            return await message.close(cancelled_text(job), None)
        case JobState.FAILED:
            return await message.close(failed_text(job, failure_of(job)), failed_buttons(job))
        case JobState.DONE if job.error_code is not None and job.result_message_id is None:
            return await message.close(unposted_text(job), None)
        case _:
            return await message.delete()
