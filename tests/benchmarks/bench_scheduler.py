"""Print what the scheduler costs with many requests waiting: `python -m tests.benchmarks.bench_scheduler [REQUESTS]`.

Processor time of this thread, for 32 rows a step, mixed sizes, models, lanes and guidance; over age or not.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from engine import Lane
from tests.engine.scheduling import MODEL, OTHER, Harness, request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", nargs="?", type=int, default=10_000)
    args = parser.parse_args()
    sys.stdout.write("users  waited s  ms/tick median     p99     max  ms for all places\n")
    for users in (10, args.requests):
        harness = Harness(32, ready=(MODEL, OTHER))
        dice = random.Random(0)
        for number in range(args.requests):
            harness.add(
                request(
                    str(number),
                    seeds=tuple(range(dice.choice((1, 4)))),
                    num_inference_steps=25,
                    guidance_scale=dice.choice((1.0, 7.0)),
                    width=dice.choice((256, 512, 768)),
                    model=dice.choice((MODEL, OTHER)),
                    lane=dice.choice(list(Lane)),
                    share_key=str(dice.randrange(users)),
                )
            )
        for waited in (0, 1000):
            harness.now += waited
            ticks = sorted(_milliseconds(harness.tick) for _ in range(400))
            places = _milliseconds(partial(harness.forecast.places, lambda size, rows: rows))
            sys.stdout.write(
                f"{users:5d}  {waited:8d}  {statistics.median(ticks):14.2f}  {ticks[-4]:6.2f}"
                f"  {ticks[-1]:6.2f}  {places:17.1f}\n"
            )


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return 1000 * (time.thread_time() - started)


if __name__ == "__main__":
    main()
