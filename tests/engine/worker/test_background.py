"""What runs beside the steps gives way to them, and ends all the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from engine.worker import background as module
from engine.worker.background import Background


def on_a_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def call() -> None:
    """Every call is looked at."""


def test_within_a_step_only_the_allowance_is_run() -> None:
    background = Background()
    started, stopped = threading.Event(), threading.Event()

    def work() -> None:
        with background.giving_way():
            started.set()
            while not stopped.is_set():
                call()
            calls = 0
            while calls < 3_000_000:  # More than a few allowances hold.
                calls += 1
                call()

    with background.step():
        thread = on_a_thread(work)
        started.wait(60)
        stopped.set()
        thread.join(0.5)
        assert thread.is_alive(), "it waits for the step to end"
    thread.join(60)
    assert not thread.is_alive()


def test_a_step_gets_a_lock_that_held_up_work_holds() -> None:
    background = Background()
    lock, held = threading.Lock(), threading.Event()

    def work() -> None:
        with background.giving_way(), lock:
            held.set()
            for _ in range(20_000):  # More than one allowance holds.
                call()

    with background.step():
        thread = on_a_thread(work)
        held.wait(60)
        assert lock.acquire(timeout=60), "both wait for each other"
        lock.release()
    thread.join(60)
    assert not thread.is_alive()


def test_work_that_nobody_steps_beside_is_not_held_up() -> None:
    background = Background()
    done = threading.Event()

    def work() -> None:
        with background.giving_way():
            for _ in range(1000):
                call()
            done.set()

    on_a_thread(work).join(60)
    assert done.is_set()
    assert sys.getprofile() is None


@pytest.mark.parametrize("together", [1, 8])
def test_the_other_threads_compute_as_before(together: int) -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        background = Background()
        seen: list[int] = []

        def work() -> None:
            for _ in range(2):
                with background.giving_way():
                    seen.append(torch.get_num_threads())

        for thread in [on_a_thread(work) for _ in range(together)]:
            thread.join(60)
        assert seen == [1] * 2 * together
        assert threads_of_a_new_thread() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(torch.get_num_threads).result()


def test_the_main_thread_is_left_as_it_is() -> None:
    with Background().giving_way():
        assert sys.getprofile() is None
        assert not module._frozen.acquire(blocking=False), "frozen once per process"
