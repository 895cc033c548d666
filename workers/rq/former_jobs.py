"""Takes over jobs from version 0.1, which RQ pickled, without unpickling. To be removed after one release.

They are in a separate queue, so that workers of both versions can run at the same time. Only plain values are read
from a pickle, opcode by opcode; one that names a class or calls something is refused. Such a job causes nothing that
the relay wouldn't do anyway: retries, polls and upkeep are known from the store, and a replay or a test begins as if
requested through the API.
"""

from __future__ import annotations

import pickletools
import time
from datetime import UTC, datetime
from typing import Any, cast

import redis

from app.store import Store
from app.store.jobs import decompressed, enqueue, enqueue_at, refuse
from app.store.server.connection import is_away

_QUEUE = "relay"
_LISTS = (f"rq:queue:{_QUEUE}", f"rq:queue:{_QUEUE}:intermediate")
_SETS = (f"rq:scheduled:{_QUEUE}", f"rq:wip:{_QUEUE}")
_AT_ONCE = 1_000
_LONGEST = 1 << 20  # bytes of a job, decompressed
# Work that is also recorded in the store
_KNOWN_OTHERWISE = frozenset(f"workers.jobs.{name}" for name in ("release_retries", "poll_command", "upkeep"))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(("SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class NotPlain(ValueError):
    """Not a pickle, or one with more than plain values."""


def take_over(kept: Store) -> None:
    """Run and remove the jobs of version 0.1. Other jobs in their place are refused."""
    client = kept.connection.rq
    for key in (*_LISTS, *_SETS):
        try:
            for job_id, at in _jobs(client, key):
                _take_one_over(kept, job_id, at)
                if key in _LISTS:
                    client.lrem(key, 0, job_id)
                else:
                    client.zrem(key, job_id)
        except redis.ResponseError as error:
            if is_away(error):
                raise
            client.delete(key)  # of another type
            refuse(kept.connection, key, str(error))


def _jobs(client: Any, key: str) -> list[tuple[bytes, float]]:
    """Yield the jobs at a key that wait or were running, each with its time (s since 1970; 0 for now)."""
    if key in _LISTS:
        return [(job_id, 0.0) for job_id in client.lrange(key, 0, _AT_ONCE - 1)]
    found = client.zrange(key, 0, _AT_ONCE - 1, withscores=True)
    return [(job_id, score if key == _SETS[0] else 0.0) for job_id, score in found]


def _take_one_over(kept: Store, job_id: bytes, at: float) -> None:
    client, key = (
        kept.connection.rq,
        b"rq:job:" + job_id.partition(b":")[0],
    )  # of an execution, after the colon
    try:
        data = client.hget(key, "data")
        if data is not None:
            function, arguments = call_of(decompressed(data, _LONGEST))
            _do(kept, function, arguments, at)
    except redis.ResponseError as error:
        if is_away(error):
            raise
        refuse(kept.connection, job_id.decode(errors="replace"), str(error))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        refuse(kept.connection, job_id.decode(errors="replace"), str(error) or type(error).__name__)
    client.delete(key)


def _do(kept: Store, function: str, arguments: list[Any], at: float) -> None:
    """Run a job like its successors. Raises errors about wrong arguments."""
    if function in _KNOWN_OTHERWISE:
        return
    if function == "workers.jobs.replay":
        subscription_id, since, until = arguments
        if kept.subscriptions.get(str(subscription_id)) is not None:
            until = int(time.time() * 1000) if until is None else int(until)
            replay_id = kept.replays.begin(subscription_id, int(since or 0), until)
            enqueue(kept.connection, "advance_replay", subscription_id, replay_id)
    elif function == "workers.jobs.send_test":
        subscription_id, event = arguments
        subscription = kept.subscriptions.get(str(subscription_id))
        if subscription is not None:
            delay = max(0, int(at - time.time()))
            delivery = kept.deliveries.plan_test(subscription, dict(event), delay)
            moment = datetime.fromtimestamp(time.time() + delay, UTC)
            enqueue_at(kept.connection, moment, "release_test", subscription_id, delivery)
    else:
        raise NotPlain("it names no function of the relay")


def call_of(data: bytes) -> tuple[str, list[Any]]:
    """Return the function's name and the arguments of a pickled job. Calls nothing, and only raises NotPlain."""
    try:
        function, instance, arguments, named = _plain(data)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain(f"its data can't be read ({type(error).__name__})") from None
    if not isinstance(function, str) or instance is not None or named:
        raise NotPlain("it doesn't call a function")
    return function, list(arguments)


def _plain(data: bytes) -> Any:
    """Read a pickle of None, booleans, numbers, texts, lists, tuples and dicts of those."""
    stack: list[Any] = []
    memo: list[Any] = []

    def since_mark() -> list[Any]:
        start = max(place for place, value in enumerate(stack) if value is _MARK)
        found = stack[start + 1 :]
        del stack[start:]
        return found

    for opcode, given, _ in pickletools.genops(data):
        name, argument = opcode.name, cast(Any, given)
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MEMOIZE":
            memo.append(stack[-1])
        elif name == "BINGET":
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"):
            stack.append({"T": (), "L": [], "D": {}}[name[6]])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "APPEND":
            value = stack.pop()
            stack[-1].append(value)
        elif name == "APPENDS":
            values = since_mark()
            stack[-1].extend(values)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif name == "SETITEMS":
            pairs = since_mark()
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise NotPlain(f"its data contains something other than plain values ({name})")
    return stack.pop()
