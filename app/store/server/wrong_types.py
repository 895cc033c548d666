"""Keys with another type than in the layout, for example after damage, or after another tool wrote to the store.

The store refuses every use of such a key. When a client finds one, it notes it in the store, so that `/health` of any
process can name it. `doctor` checks all keys. Nothing is deleted, because only people can know whether the value is
still useful.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import redis

from app.base.store_errors import is_wrong_type
from app.base.throttle import OnceAMinute
from app.store.privacy.stored_data import STORED_DATA, StoredData, is_of_one_key, pattern
from app.store.server.keys import WRONG_TYPES, Shard
from app.store.server.pipelines import asked

_MOST = 200  # arguments of one call that are checked
_NOTED_SECONDS = 3_600  # a key's name may contain a person's ID

_FIXED = {kept.key: kept for kept in STORED_DATA if is_of_one_key(kept)}
_VARIABLE: dict[str, list[tuple[Any, StoredData]]] = {}
for _kept in STORED_DATA:
    if not is_of_one_key(_kept):
        _VARIABLE.setdefault(_kept.key.split(":")[1], []).append((pattern(_kept), _kept))

_noted = OnceAMinute()


def own_name(key: str) -> str:
    """Return a key as in the layout, with {s0} for any shard."""
    return f"{{s0}}:{key.partition(':')[2]}" if key.startswith("{s") else key


def kind_of(key: str) -> StoredData | None:
    """Return the kind of key in the layout; None if it isn't one of the relay's."""
    found = _FIXED.get(own_name(key))
    if found is not None:
        return found
    kinds = _VARIABLE.get(key.partition(":")[2].split(":", 1)[0], ())
    return next((kept for matches, kept in kinds if matches.fullmatch(key)), None)


def wrong_among(client: Any, keys: Iterable[str]) -> list[str]:
    """Return the existing keys that have the wrong type."""
    kinds = {key: kept for key in keys if (kept := kind_of(key)) is not None}
    answers = asked(client, kinds, lambda pipeline, key: pipeline.type(key))
    return [key for key, found in answers if found not in (b"none", kinds[key].type.encode())]


def noted_and_fixed(client: Any, shards: Sequence[Shard]) -> list[str]:
    """Return keys that currently have the wrong type, among the noted ones and those that each store has once.

    The notes about repaired keys are removed.
    """
    keys = [
        key.replace("{s0}", shard.tag)
        for key in _FIXED
        for shard in (shards if key.startswith("{s0}") else shards[:1])
    ]
    noted: set[str] = set()
    try:
        noted = {name.decode(errors="replace") for name in client.smembers(WRONG_TYPES)}
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
    wrong = wrong_among(client, dict.fromkeys((*keys, *sorted(noted))))
    repaired = noted - set(wrong)
    if repaired:
        client.srem(WRONG_TYPES, *repaired)
    return wrong


def all_wrong(client: Any) -> list[str]:
    """Yield all of the relay's keys with the wrong type. Checks all keys, which takes a few seconds for a million."""
    found = []
    for of_type in ("string", "hash", "list", "set", "zset", "stream"):
        for name in client.scan_iter(match="{*", count=10_000, _type=of_type):
            kept = kind_of(name.decode(errors="replace"))
            if kept is not None and kept.type != of_type:
                found.append(name.decode(errors="replace"))
    return sorted(set(found))


# Notes, made by the clients in redis_clients_internals


def note(client: Any, error: BaseException, commands: Iterable[Sequence[Any]]) -> None:
    """If a command was refused because of a wrong type, note in the store which keys of the commands have one.

    Does nothing if the note can't be written.
    """
    if not is_wrong_type(error):
        return
    keys = dict.fromkeys(key for command in commands for key in _keys(command))
    new = [key for key in keys if _noted.may_say(key)]
    with suppress(redis.RedisError, OSError):
        wrong = wrong_among(client, new)
        if wrong:
            client.sadd(WRONG_TYPES, *wrong)
            client.expire(WRONG_TYPES, _NOTED_SECONDS)


def _keys(command: Sequence[Any]) -> Iterator[str]:
    for argument in command[1:_MOST]:
        key = argument.decode(errors="replace") if isinstance(argument, bytes) else argument
        if isinstance(key, str) and key.startswith("{") and key != WRONG_TYPES:
            yield key
