from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bot.playground import JumpingClock
from bot.playground.clock import Timers, timestamp
from bot.playground.snowflakes import Snowflakes, created_at


async def test_timers_fire_in_their_order() -> None:
    clock, fired = JumpingClock(frozen=True), list[str]()
    timers = Timers(clock)
    timers.later(3, lambda: fired.append("three"))
    timers.later(1, lambda: fired.append("one"))
    timers.later(900, lambda: fired.append("never"))
    clock.advance(2)
    assert fired == ["one"]
    clock.advance(2)
    timers.cancel()
    clock.advance(1000)
    assert fired == ["one", "three"]


async def test_a_running_clock_can_jump() -> None:
    clock, fired = JumpingClock(), asyncio.Event()
    clock.call_later(3600, fired.set)
    clock.call_later(0, lambda: clock.advance(3601))
    await asyncio.wait_for(fired.wait(), 5)


@given(st.lists(st.floats(-5, 5), max_size=50))
def test_ids_only_grow(steps: list[float]) -> None:
    clock = JumpingClock(frozen=True)
    snowflakes, given_out = Snowflakes(clock), list[int]()
    for step in steps:
        clock.advance(step)
        given_out.append(int(snowflakes.next()))
    assert given_out == sorted(set(given_out))


def test_an_id_tells_its_time() -> None:
    clock = JumpingClock(frozen=True)
    made = created_at(Snowflakes(clock).next())
    assert 0 <= clock.now() - made < 0.001
    assert timestamp(0.5) == "1970-01-01T00:00:00.500000+00:00"
