"""Keys of the store that have the wrong type, for `cams-relay doctor` and `/health`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import redis

from app.base.store_errors import is_wrong_type
from app.health.findings import Problem
from app.store import Store
from app.store.server import wrong_types
from app.store.server.repairs import repairs

_NAMED = 20
_EFFECTS = {
    "{s0}:fanout": "Deliveries continue, and no event was lost. Some may be delivered twice, with the same ID.",
    "{s0}:writes": "Deliveries continue. Some may be delivered twice, with the same ID.",
    "{s0}:wake": "Deliveries continue. Some may have been late.",
    "{s0}:sub:S:health": "Deliveries continue. Only the subscription's counters start again.",
    "{s0}:rewriting": "Events that were erased are also removed from the store's blocks again.",
    "{g}:chores": "Attendance and alerts continue.",
    "{g}:sampled": "The history of the counters continues.",
    "{g}:upkeep": "Old data is removed again when it is due.",
    "{g}:rewritten": "Deleted data is removed from the store's blocks again when this is due.",
    "{g}:public_url_due": "The public URL is checked again.",
    "{s0}:subscriptions:version": "Deliveries continue, and all changes of subscriptions apply.",
    "{g}:key_id": "RELAY_SECRET_KEY or the key in the data folder is right: it decrypts the stored data.",
    "{g}:shards": "The number of shards was found by the stored data.",
    "{g}:devices": "It was made again from each device's data. Refused callbacks are sent again by the gateway.",
    "{g}:store": "The ID of the store is again the one that this machine remembers.",
}


def readable_warnings(find: Callable[[Store], list[str]], store: Store) -> list[str]:
    """Return a check's findings; none if it finds a key of the wrong type, which another check reports."""
    try:
        return find(store)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        return []


def met_warnings(store: Store) -> list[str]:
    """For `/health`, which anyone may read: keys of the wrong type that were found recently, without people's IDs."""
    connection = store.connection
    wrong = wrong_types.noted_and_fixed(connection.redis, connection.shards)
    return _sentence(wrong, hide_people=True)


def all_warnings(store: Store) -> list[str]:
    """For `doctor`: all keys of the wrong type, with their names."""
    return _sentence(wrong_types.all_wrong(store.connection.redis))


def repaired_warnings(store: Store) -> list[str]:
    """Return the damaged values that the relay has replaced in the last day, and the effects."""
    return [
        f"The value of {key} in the store was damaged. It was replaced at "
        f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC. {_effect(key)} If another program uses this "
        "store, give that program its own store. This message disappears after a day."
        for key, at in sorted(repairs(store.connection).items())
    ]


def _effect(key: str) -> str:
    """Return what the replacement of a damaged value means."""
    kind = wrong_types.kind_of(key)
    return _EFFECTS.get(wrong_types.own_name(key) if kind is None else kind.key, "Nothing was lost.")


def _sentence(keys: Sequence[str], *, hide_people: bool = False) -> list[str]:
    """Return a sentence about keys with the wrong type; none if there are none."""
    if not keys:
        return []
    shown = [_kind(key) if hide_people else key for key in keys]
    names = [name if count == 1 else f"{name} ({count} keys)" for name, count in Counter(shown).items()]
    named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    advice = (
        "`cams-relay doctor` names all such keys."
        if hide_people
        else "Restore a backup, or delete a key if you don't need its data."
    )
    return [
        Problem(
            f"Some keys in the store have the wrong type, so their data can't be read: {named}. Nothing was deleted. "
            f"{advice}"
        )
    ]


def _kind(key: str) -> str:
    """Return the key as it is or, if its name may contain a person's ID, its kind, such as `{s0}:events:user:U`."""
    kept = wrong_types.kind_of(key)
    if kept is None or kept.of != "person" or kept.key == wrong_types.own_name(key):
        return key
    return kept.key
