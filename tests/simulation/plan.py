"""Turns a seed into a list of independent steps, any of which can be left out."""

from __future__ import annotations

import random
from typing import Any

from tests.simulation.machines import CARDS, INSTANTS, PUNCH_TYPES, USERS

Step = list[Any]

DEVICES = ("DEV0", "DEV1")
WEBS = ("web0", "web1", "web2")  # web0 and web1 share a folder; web2 has no spool
PROCESSES = (*WEBS, "deliver0", "deliver1", "jobs0")
TARGETS = ("many", "strict")
SLOTS = (1, 2, 3)

# How often each ordinary step occurs.
_WORK = {"happen": 20, "send": 5, "keep_up": 2, "drain": 6, "dispatch": 6, "advance": 4, "calm": 2, "job": 2}
# Each run has only some of these, because a fault that is always present hides the effects of others.
_FAULTS = {
    "partition": 3,
    "store": 3,
    "fail": 4,
    "resume": 3,
    "kill": 2,
    "snapshot": 2,
    "restore": 2,
    "empty": 1,
    "foreign": 2,
    "register": 3,
    "remove": 1,
    "target": 3,
    "replay": 2,
    "job_killed": 2,
    "clock": 1,
    "disk": 2,
    "outside": 1,
    "power": 1,
}
_TOGETHER = {
    "snapshot": "restore",
    "remove": "register",
    "fail": "resume",
    "empty": "register",
    "replay": "job_killed",
}
_LENGTH = (20, 60)


def _mostly(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with the first one twice, so that it is picked twice as often."""
    return (names[0], *names)


def plan(seed: int) -> list[Step]:
    """Return the steps of a seed."""
    chance = random.Random(seed)
    faults = {name for name in _FAULTS if chance.random() < 0.35}
    faults |= {other for name, other in _TOGETHER.items() if name in faults}
    weights = {**_WORK, **{name: _FAULTS[name] for name in sorted(faults)}}
    names, chances = list(weights), list(weights.values())
    return [_step(name, chance) for name in chance.choices(names, chances, k=chance.randint(*_LENGTH))]


def _step(name: str, chance: random.Random) -> Step:
    pick = chance.choice
    match name:
        case "happen":
            kind = pick(("punch", "punch", "update", "delete"))
            more = {
                "punch": lambda: [chance.randrange(INSTANTS), pick(PUNCH_TYPES)],
                "update": lambda: [pick(CARDS)],
                "delete": list,
            }[kind]()
            # Few devices and users, and any process, so that the callbacks affect each other.
            web = pick((*WEBS, "web0", None))
            return ["happen", web, pick(_mostly(DEVICES)), kind, pick(_mostly(USERS)), *more]
        case "send":
            return ["send", pick(WEBS), pick(DEVICES), chance.randint(1, 3)]
        case "keep_up" | "resume":
            return [name, pick(WEBS)]
        case "drain":
            return [name, pick(WEBS[:2])]
        case "dispatch":
            return ["dispatch", pick(("deliver0", "deliver0", "deliver1")), pick((1, 3, 10, 40))]
        case "advance":
            return ["advance", pick((0.1, 0.5, 1.0, 2.0, 5.0))]
        case "partition":
            return ["partition", pick(("web0", *PROCESSES)), chance.random() < 0.6]
        case "store":
            return ["store", pick(("away", "away", "away", "back", "back", "back empty", "back older"))]
        case "fail":
            what = pick(("before", "after", "late", "freeze", "freeze", "kill"))
            return ["fail", pick(PROCESSES), chance.randint(1, 6), what]
        case "kill":
            return ["kill", pick(PROCESSES)]
        case "snapshot" | "restore":
            return [name, pick(SLOTS)]
        case "foreign":
            return ["foreign", chance.random() < 0.6]
        case "register" | "remove":
            return [name, pick(DEVICES)]
        case "target":
            return ["target", pick(TARGETS), pick(("ok", "ok", "answer lost", "error", "busy", "away"))]
        case "replay":
            return ["replay", pick(TARGETS)]
        case "job_killed":
            return ["job_killed", chance.randint(1, 16)]
        case "clock":
            return ["clock", pick(WEBS), pick((-3600, -30, 0, 30, 3600))]
        case "disk":
            operation, what = pick((("write", "full"), ("write", "short"), ("sync", "failed")))
            return ["disk", pick(WEBS[:2]), chance.randint(1, 3), operation, what]
        case "outside":
            return ["outside", pick(("unlinked", "folder replaced", "bit flipped")), chance.randrange(10_000)]
        case _:  # job, calm, empty, power
            return [name]
