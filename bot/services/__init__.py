"""Use cases: the one door for commands and buttons, above the database and the engine.

interface       what the edges may ask
update_feed     from jobs to delivery, newest wins
"""

from __future__ import annotations

from bot.services.interface import HistoryPage, HistoryService, JobService, Limits, Notes, Services

__all__ = ["HistoryPage", "HistoryService", "JobService", "Limits", "Notes", "Services"]
