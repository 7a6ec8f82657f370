"""Use cases: the one door for commands and buttons, above the database and the engine.

services        what the edges are given        job_service   make jobs, follow them, end them
new_jobs        an order → a job: the pure checks, every value made concrete
job_run         one job on its way through the engine: watch, store, report
waiting_line    caps, turns, places and times    update_feed   from jobs to delivery, newest wins
history         pages of finished jobs           engine_errors the engine's errors as sentences
look_service    own pictures by what they look like               vectors   of one user's pictures, in memory
likeness_service    new pictures that look like others
embedding_service   gives posted pictures their vectors           embedder  asks the engine for vectors
"""

from __future__ import annotations

from bot.services.history import HistoryPage, HistoryService
from bot.services.job_service import JobService
from bot.services.look_service import LookService, LooksPage, Match
from bot.services.services import Notes, Services, make_services
from bot.services.waiting_line import Limits

__all__ = [
    "HistoryPage",
    "HistoryService",
    "JobService",
    "Limits",
    "LookService",
    "LooksPage",
    "Match",
    "Notes",
    "Services",
    "make_services",
]
