"""What runs beside the steps gives way to them, and ends all the same."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from engine.executor import EngineClosing
from engine.worker import background as module
from engine.worker.background import Background

importing, closed = threading.Event(), threading.Event()


def on_a_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def call() -> None:
    """Every call is looked at."""


def test_within_a_step_only_a_turn_now_and_then_is_run() -> None:
    background = Background()
    started, stopped = threading.Event(), threading.Event()

    def work() -> None:
        with background.giving_way():
            started.set()
            while not stopped.is_set():
                call()
            calls = 0
            while calls < 3_000_000:  # More than a few turns hold.
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


def test_who_waited_for_a_step_has_a_turn_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN", 60.0)
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    background = Background()
    done = threading.Event()

    def work() -> None:
        with background.giving_way():
            call()
            for _ in range(1000):
                call()
            done.set()

    with background.step():
        thread = on_a_thread(work)
        while not background._waiting:
            thread.join(0.001)
        assert not done.is_set()
    with background.step():
        assert done.is_set()
    thread.join(60)
    assert not background._turns


def test_a_turn_ends_though_there_is_more_to_do() -> None:
    background = Background()
    enough = threading.Event()

    def work() -> None:
        with background.giving_way():
            while not enough.is_set():
                call()

    with background.step():
        thread = on_a_thread(work)
        while not background._waiting:
            thread.join(0.001)
    for _ in range(20):
        with background.step():
            assert thread.is_alive()
    enough.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("downloads", [False, True])
def test_who_is_in_a_long_call_has_a_turn_unless_it_waits_for_a_network(
    monkeypatch: pytest.MonkeyPatch, downloads: bool
) -> None:
    monkeypatch.setattr(module, "_TURN", 60.0)
    background = Background()
    in_a_call, go_on = threading.Event(), threading.Lock()
    done = threading.Event()

    def work() -> None:
        with background.giving_way(downloads=downloads):
            in_a_call.set()
            with go_on:
                for _ in range(1000):
                    call()
            done.set()

    with go_on:
        thread = on_a_thread(work)
        in_a_call.wait(60)
        with background.step():
            pass
        assert bool(background._turns) is not downloads
    with background.step():
        assert downloads or done.is_set()
    thread.join(60)
    assert not background._turns


def test_a_step_gets_a_lock_that_held_up_work_holds() -> None:
    background = Background()
    lock, held = threading.Lock(), threading.Event()

    def work() -> None:
        with background.giving_way(), lock:
            held.set()
            for _ in range(20_000):  # More than one turn holds.
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


def test_closing_ends_what_gives_way() -> None:
    background, started = Background(), threading.Event()
    ended: list[str] = []

    def work() -> None:
        try:
            with background.giving_way():
                started.set()
                while True:
                    try:
                        call()
                    except Exception:  # noqa: BLE001 - what libraries do.
                        ended.append("swallowed")
        except EngineClosing:
            ended.append("closing")

    with background.step():  # Also while it waits for a step.
        thread = on_a_thread(work)
        started.wait(60)
        background.close()
        thread.join(60)
    assert ended == ["closing"]


def test_closing_lets_imports_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half imported could not be imported again."""
    (tmp_path / "fourfold_slow_library.py").write_text(
        "from tests.engine.worker import test_background as test\n"
        "test.importing.set()\n"
        "test.closed.wait(60)\n"
        "test.call()\n"
        "whole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    background = Background()
    ended: list[str] = []

    def work() -> None:
        try:
            with background.giving_way():
                importlib.import_module("fourfold_slow_library")
                call()
        except EngineClosing:
            ended.append("closing")

    thread = on_a_thread(work)
    assert importing.wait(60)
    background.close()
    closed.set()
    thread.join(60)
    assert ended == ["closing"]
    assert importlib.import_module("fourfold_slow_library").whole
    del sys.modules["fourfold_slow_library"]
