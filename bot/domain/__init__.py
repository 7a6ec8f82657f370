"""What things are: frozen dataclasses and enums without I/O.

job           Job, its Action and JobState, the Parameters a prompt carried, StoredImage, Destination
asker         who asks, from where, and what may be done there
job_update    what delivery is told about a job
"""

from __future__ import annotations

from bot.domain.asker import Asker
from bot.domain.job import (
    Action,
    Destination,
    Job,
    JobState,
    Likeness,
    Order,
    Parameters,
    StoredImage,
    Upload,
    nonce_of,
)
from bot.domain.job_update import JobUpdate
from engine import Safety, SamplingParams

__all__ = [
    "Action",
    "Asker",
    "Destination",
    "Job",
    "JobState",
    "JobUpdate",
    "Likeness",
    "Order",
    "Parameters",
    "Safety",
    "SamplingParams",
    "StoredImage",
    "Upload",
    "nonce_of",
]
