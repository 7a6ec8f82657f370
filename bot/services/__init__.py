"""Use cases: the one door for commands and buttons, above the database and the engine.

services        what the edges are given        job_service   make jobs, follow them, end them
new_jobs        an order → a job: the pure checks, every value made concrete
job_run         one job on its way through the engine: watch, store, report
waiting_line    caps, turns, places and times    update_feed   from jobs to delivery, newest wins
history         pages of finished jobs           engine_errors the engine's errors as sentences
"""

from __future__ import annotations

from bot.services.history import HistoryPage, HistoryService
from bot.services.job_service import JobService
from bot.services.services import Notes, Services, make_services
from bot.services.waiting_line import Limits

__all__ = ["HistoryPage", "HistoryService", "JobService", "Limits", "Notes", "Services", "make_services"]
