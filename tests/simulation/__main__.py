"""The simulation's command line.

    python -m tests.simulation --seed 4711               plays one seed, shows its shortest failing plan and its trace
    python -m tests.simulation --seeds 0:2000 --jobs 2   plays many
    python -m tests.simulation --seeds 0:2000 --seconds 120 --jobs 2   the first of them, as many as it can in that time
    python -m tests.simulation --seconds 600 --jobs 2    plays seeds at random for so long

Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count, takewhile

from tests.simulation.plan import Step
from tests.simulation.runner import Result, Runner, runner

_HASHES = "PYTHONHASHSEED"  # the order of sets affects a run
_SHOWN = 3  # failing seeds that are shrunk and shown


def main() -> int:
    options = _options()
    if os.environ.get(_HASHES) != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {_HASHES: "0"},
        )
    if options.seed is not None:
        with runner() as made:
            return _show_one(made, options.seed, json.loads(options.steps) if options.steps else None)
    if options.jobs > 1:
        return _beside_each_other(options)
    with runner() as made:
        if options.digests:
            for seed in _seeds(options):
                print(seed, made.play(seed).digest)
            return 0
        return _play(made, _seeds(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Plays the simulation.")
    parser.add_argument("--seed", type=int, help="play this one, and show all of it")
    parser.add_argument("--steps", help="with --seed: the steps, as JSON, instead of the seed's own")
    parser.add_argument("--seeds", help="from:to; 0:2000 if not even --seconds is given")
    parser.add_argument(
        "--seconds", type=float, help="begins no seed after so long; without --seeds, takes them at random"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other")
    parser.add_argument("--digests", action="store_true", help="print the digest of each seed's trace")
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    return parser.parse_args()


def _seeds(options: argparse.Namespace) -> Iterator[int]:
    part, parts = map(int, options.part.split("/"))
    until = time.monotonic() + (options.seconds or math.inf)
    seeds: Iterable[int] = count(secrets.randbits(40))
    if options.seeds is not None or options.seconds is None:
        first, end = map(int, (options.seeds or "0:2000").split(":"))
        seeds = range(first + part, end, parts)
    yield from takewhile(lambda _: time.monotonic() < until, seeds)


def _play(made: Runner, seeds: Iterable[int]) -> int:
    played, failed, began = 0, [], time.monotonic()
    first = last = None
    for seed in seeds:
        first, last = seed if first is None else first, seed
        result = made.play(seed)
        played += 1
        if result.broken:
            failed.append(result)
            print(f"seed {seed}: {'; '.join(result.broken)}", flush=True)
    for result in failed[:_SHOWN]:
        _show(made.shrink(result))
    print(
        f"{played} seeds from {first} to {last} in {time.monotonic() - began:.0f} s, {len(failed)} of them failed",
        flush=True,
    )
    return 1 if failed else 0


def _beside_each_other(options: argparse.Namespace) -> int:
    """Play the seeds in several processes, each with its own store."""
    how = ["--seeds", options.seeds] if options.seeds is not None else []
    how += ["--seconds", str(options.seconds)] if options.seconds is not None else []
    command = [sys.executable, "-m", "tests.simulation", *how]
    parts = [
        subprocess.Popen([*command, "--part", f"{part}/{options.jobs}"], env=os.environ)
        for part in range(options.jobs)
    ]
    return max([part.wait() for part in parts])


def _show_one(made: Runner, seed: int, steps: list[Step] | None) -> int:
    result = made.play(seed, steps, traced=True)
    if result.broken and steps is None:
        result = made.shrink(result)
    print("\n".join(result.trace))
    _show(result)
    return 1 if result.broken else 0


def _show(result: Result) -> None:
    print(f"\nseed {result.seed}, {len(result.steps)} steps, trace {result.digest[:16]}:")
    for step in result.steps:
        print(f"  {json.dumps(step)}")
    print("\n".join(result.broken) or "All promises were kept.")
    if result.broken:
        print(f"again: make simulate SEED={result.seed} STEPS='{json.dumps(result.steps)}'", flush=True)


if __name__ == "__main__":
    sys.exit(main())
