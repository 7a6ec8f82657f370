"""The finished message of a job: words, picture file, buttons. Delivery posts it, /show posts it again."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass

import discord

from bot.domain import Action, Job
from bot.prompting import a1111_parameters
from bot.rendering import EncodedFile, grid_file, single_file
from bot.services import JobService
from bot.views.job_text import alt_text

SMALLEST_FILE = 20_000
"""Bytes below which a refused upload is no longer made smaller."""
TOO_LARGE = 40005


@dataclass(frozen=True)
class ResultFile:
    """An encoded picture that can be sent more than once."""

    encoded: EncodedFile
    description: str

    def upload(self) -> discord.File:
        """A fresh file object: discord.py reads and closes the one it is given."""
        return discord.File(io.BytesIO(self.encoded.data), self.encoded.name, description=self.description)


def is_too_large(error: discord.HTTPException) -> bool:
    """Discord refused a file for its size, whatever limit it named before; a smaller one may be taken."""
    return error.status == 413 or error.code == TOO_LARGE


async def result_file(jobs: JobService, job: Job, limit_bytes: int) -> ResultFile:
    """The job's grid or single picture within `limit_bytes`, encoded on a thread.

    Raises:
        OSError: a stored picture cannot be read.
    """
    model = next((model for model in jobs.models() if model.name == job.model), None)
    # A picture that somebody sent was not made by what the job was made with.
    described = job.action is Action.DESCRIBE
    parameters = "" if described else a1111_parameters(job, job.images[0], model)
    paths = [image.path for image in job.images]
    if described or job.action is Action.UPSCALE:
        encoded = await asyncio.to_thread(single_file, paths[0], parameters, limit_bytes)
    else:
        encoded = await asyncio.to_thread(grid_file, paths, parameters, limit_bytes, in_row=job.strip)
    return ResultFile(encoded, alt_text(job))
