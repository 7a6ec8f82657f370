from __future__ import annotations

import asyncio

from bot.delivery.pacing import CHANNEL_INTERVAL, Clock, Pacer


class VirtualTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.now + seconds, woken))
        await woken.wait()

    async def run_until_idle(self) -> None:
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            if not self._sleepers:
                return
            self._sleepers.sort(key=lambda sleeper: sleeper[0])
            self.now, woken = self._sleepers.pop(0)
            woken.set()


async def moments(*turns: tuple[int, float]) -> list[float]:
    """When each (channel, not before) got its turn, in seconds after the start."""
    time = VirtualTime()
    pacer = Pacer(time.clock())
    got: list[float] = [0.0] * len(turns)

    async def take(index: int, channel: int, not_before: float) -> None:
        await pacer.turn(channel, 100.0 + not_before)
        got[index] = time.now - 100.0

    tasks = [asyncio.create_task(take(index, *turn)) for index, turn in enumerate(turns)]
    await time.run_until_idle()
    await asyncio.gather(*tasks)
    return got


async def test_one_channel_shares_its_edits():
    assert await moments((1, 0), (1, 0), (1, 0)) == [0, CHANNEL_INTERVAL, 2 * CHANNEL_INTERVAL]


async def test_channels_do_not_wait_for_each_other():
    assert await moments((1, 0), (2, 0), (3, 0)) == [0, 0, 0]


async def test_a_turn_far_ahead_holds_up_nobody():
    assert await moments((1, 8), (1, 2.5), (1, 0)) == [8, 2.5, 0]


async def test_idle_channels_are_forgotten():
    time = VirtualTime()
    pacer = Pacer(time.clock())
    await pacer.turn(1, 0.0)
    time.now += 2 * CHANNEL_INTERVAL
    pacer.forget_idle()
    assert pacer._next_free == {}
