"""From a job's updates to its message on Discord.

delivery.py           Delivery: reads the updates, one follower per job; what has to be posted after a restart
follower.py           one job from its first update to its end: the newest state, at a pace
progress_message.py   the message that shows progress: edited by the interaction's token, then by the bot's
poster.py             the finished pictures, posted exactly once: channel, else direct message, else /history
remarks.py            what is said of the pictures later: that they look like others
closing.py            what the progress message says last
search.py             a job's message found again by its buttons
pacing.py             when a message may be edited next
"""

from __future__ import annotations

from bot.delivery.delivery import Delivery
from bot.delivery.remarks import Remarks

__all__ = ["Delivery", "Remarks"]
