"""Writes events to the archive and reads them.

Each batch is one transaction together with the new position, so that after a crash nothing is missing or doubled. The
content of events is encrypted with a data key, which is encrypted with RELAY_SECRET_KEY. So a change of that key
encrypts few bytes again, and the events archived afterwards have a new data key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from app.archive.copies import Pairs, Place, Restoring, copied
from app.archive.data_keys import DataKeys
from app.archive.database import ArchiveRefused, Database
from app.archive.oldest_first import rows_above
from app.archive.records import Archived, ArchivedPunch, Position
from app.archive.removal import empty_log, remove_events, remove_punches
from app.archive.search import Search
from app.archive.texts import ESCAPE, as_read, written
from app.archive.writing import insert_rows, insert_unless_there
from app.base.vault import Vault

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

_FIRST_CHUNK = 50  # most pages are short
_CHUNK = 500
_LARGEST = 2**63 - 1  # of a BIGINT


class Archive:
    """The archived events of one store."""

    def __init__(self, url: str, vault: Vault) -> None:
        """`url` is an SQLAlchemy URL. Nothing is opened or created before it is needed."""
        self._database = Database(url)
        self._keys = DataKeys(self._database, vault)
        self._known_owner: tuple[str, int] | None = None

    def load(self) -> None:
        """Import the libraries (see `Database.load`)."""
        self._database.load()

    def limit_reads(self, seconds: float) -> None:
        """Set how long a statement that reads may take (see `Database.limit_reads`)."""
        self._database.limit_reads(seconds)

    # Whose archive it is

    def claim(self, store_id: str, *, accept: bool = False) -> None:
        """Create or upgrade the tables, and note whose archive it is. Raises ArchiveRefused if it is another store's.

        With `accept`, it becomes this store's.
        """
        from sqlalchemy import delete, select

        from app.archive.tables import owners

        if self._owner() == store_id and not accept:
            return
        self._database.migrate()
        with self._database.writing(briefly=True) as connection:
            found = connection.execute(select(owners.c.store_id)).scalar()
            if accept and found not in (None, store_id):
                connection.execute(delete(owners))
                found = None
            if found is None:
                insert_unless_there(connection, owners, number=1, store_id=store_id)
                found = connection.execute(select(owners.c.store_id)).scalar()
            if found != store_id:
                raise ArchiveRefused(_OF_ANOTHER_STORE)
        self._known_owner = store_id, self._database.changes

    def _owner(self) -> str | None:
        """Return whose archive it is, if that is known and it is still the same database."""
        known = self._known_owner
        return known[0] if known is not None and known[1] == self._database.changes else None

    def check(self) -> None:
        """Raise ArchiveAway or ArchiveRefused if the archive can't be written."""
        with self._database.writing(briefly=True):
            pass

    @contextmanager
    def _read(self, store_id: str | None) -> Iterator[Connection | None]:
        """Yield a connection to this store's archive; None if it is empty."""
        from sqlalchemy import select

        from app.archive.tables import owners

        with self._database.reading() as connection:
            owner = self._owner()
            if connection is not None and owner is None:
                owner = connection.execute(select(owners.c.store_id)).scalar()
                if owner not in (None, store_id):
                    raise ArchiveRefused(_OF_ANOTHER_STORE)
                self._known_owner = None if owner is None else (owner, self._database.changes)
            yield connection if owner is not None else None

    # Writing

    def position(self, store_id: str, shard: int) -> Position:
        """Return how far a shard is archived."""
        from sqlalchemy import select

        from app.archive.tables import positions

        chosen = (positions.c.store_id == store_id) & (positions.c.shard == shard)
        with self._database.writing(briefly=True) as connection:
            row = connection.execute(select(positions.c.entry, positions.c.erasures).where(chosen)).first()
            if row is not None:
                return Position(row.entry, row.erasures)
            begin = Position("0-0", 0)
            insert_unless_there(connection, positions, store_id=store_id, shard=shard, **begin._asdict())
        return begin

    def positions(self, store_id: str) -> dict[int, str]:
        """Return how far each shard is archived, by its number."""
        from sqlalchemy import select

        from app.archive.tables import positions

        with self._read(store_id) as connection:
            if connection is None:
                return {}
            columns = select(positions.c.shard, positions.c.entry).where(positions.c.store_id == store_id)
            return {row.shard: row.entry for row in connection.execute(columns)}

    def write(
        self,
        store_id: str,
        shard: int,
        after: Position,
        upto: str,
        events: Sequence[Archived],
        punches: Iterable[ArchivedPunch],
    ) -> bool:
        """Write a shard's events after a position, up to an entry; return False if another process or an erasure was
        faster.

        Raises ArchiveAway, and ArchiveCannotHold for values that the database refuses.
        """
        from sqlalchemy import exists, select, update

        from app.archive.tables import owners, positions

        number, seal = self._keys.newest()
        rows = [
            {
                **event._asdict(),
                "user_id": written(event.user_id),
                "data_key": number,
                "body": seal(event.body, f"{event.shard}:{event.entry}"),
            }
            for event in events
        ]
        with self._database.writing(briefly=True) as connection:
            moved = connection.execute(
                update(positions)
                .where(
                    (positions.c.store_id == store_id)
                    & (positions.c.shard == shard)
                    & (positions.c.entry == after.entry)
                    & (positions.c.erasures == after.erasures)
                    & exists().where(owners.c.store_id == store_id)
                )
                .values(entry=upto)
            )
            if moved.rowcount != 1:
                if connection.execute(select(owners.c.store_id)).scalar() != store_id:
                    self._known_owner = None
                    raise ArchiveRefused(_OF_ANOTHER_STORE)
                return False
            insert_rows(
                connection,
                rows,
                [{**punch._asdict(), "user_id": written(punch.user_id)} for punch in punches],
            )
        return True

    # Reading

    def get(self, store_id: str, shard: int, entry: str) -> bytes | None:
        """Return an event as stored, without its ID; None if it isn't in the archive."""
        from sqlalchemy import select

        from app.archive.tables import events

        ms, sequence = _place(entry)
        with self._read(store_id) as connection:
            if connection is None:
                return None
            columns = select(events.c.data_key, events.c.body).where(
                (events.c.shard == shard) & (events.c.ms == ms) & (events.c.sequence == sequence)
            )
            row = connection.execute(columns).first()
        if row is None:
            return None
        return self._keys.opened(row.data_key, row.body, f"{shard}:{ms}-{sequence}")

    def shards(self, store_id: str) -> set[int]:
        """Return the shards of which there may be events, also of a former store or before a worker has started."""
        from sqlalchemy import func, select

        from app.archive.tables import events

        with self._read(store_id) as connection:
            if connection is None:
                return set()
            # SQLite finds each in the index, but not both at once.
            least, most = (
                connection.execute(select(find(events.c.shard))).scalar() for find in (func.min, func.max)
            )
        return set() if least is None or most is None else set(range(least, most + 1))

    def scan(
        self,
        store_id: str,
        shard: int,
        below: str | None,
        oldest_ms: int | None,
        ranges: Mapping[str, Sequence[str]],
        conditions: Mapping[str, Sequence[str]] | None = None,
        first: int = _FIRST_CHUNK,
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield a shard's entries and events, newest first, below an entry, received at `oldest_ms` or later.

        `ranges` and `conditions` are values of `type`, `device_id` or `user_id` (see `Search`). The event is None if it
        can't be decrypted. `first` is how many are read at first.
        """

        oldest = 0 if oldest_ms is None else min(oldest_ms, _LARGEST)
        search = Search(shard, oldest, _in_database(ranges), _in_database(conditions or {}))
        place = (_LARGEST, _LARGEST) if below is None else _place(below)
        read = partial(self._rows, store_id)
        return self._opened(shard, search.rows(place, first, read, is_sqlite=self._database.is_sqlite))

    def scan_up(
        self, store_id: str, shard: int, above: str, below: str, conditions: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield a shard's entries and events between two entries, oldest first, as `scan` does."""
        chosen = _in_database(conditions), partial(self._rows, store_id)
        return self._opened(shard, rows_above(shard, _place(above), _place(below), *chosen))

    def _rows(self, store_id: str, statement: Executable) -> Sequence[Any]:
        with self._read(store_id) as connection:
            return [] if connection is None else connection.execute(statement).all()

    def _opened(self, shard: int, rows: Iterator[Any]) -> Iterator[tuple[str, bytes | None]]:
        for row in rows:
            entry = f"{row.ms}-{row.sequence}"
            yield entry, self._keys.opened(row.data_key, row.body, f"{shard}:{entry}")

    def marks(
        self, store_id: str, user_ids: Sequence[str], first: int, last: int, before_ms: int
    ) -> list[ArchivedPunch]:
        """Return people's punches from `first` to before `last` (s) that were received before `before_ms`."""
        from sqlalchemy import select

        from app.archive.tables import punches

        found: list[ArchivedPunch] = []
        with self._read(store_id) as connection:
            if connection is None:
                return found
            for start in range(0, len(user_ids), _CHUNK):
                some = [written(user_id) for user_id in user_ids[start : start + _CHUNK]]
                statement = select(*(punches.c[name] for name in ArchivedPunch._fields)).where(
                    punches.c.user_id.in_(some),
                    punches.c.at >= first,
                    punches.c.at < last,
                    punches.c.ms < before_ms,
                )
                found += map(ArchivedPunch._make, connection.execute(statement))
        if any(ESCAPE in user_id or "\0" in user_id for user_id in user_ids):
            return [punch._replace(user_id=as_read(punch.user_id) or "") for punch in found]
        return found

    def people(self, store_id: str, first: int, last: int, before_ms: int) -> set[tuple[str, str]]:
        """Return who punched, and on which device, from `first` to before `last` (s), in the same way."""
        from sqlalchemy import select

        from app.archive.tables import punches

        with self._read(store_id) as connection:
            if connection is None:
                return set()
            statement = (
                select(punches.c.user_id, punches.c.device_id)
                .where(punches.c.at >= first, punches.c.at < last, punches.c.ms < before_ms)
                .distinct()
            )
            return {(as_read(row.user_id) or "", row.device_id) for row in connection.execute(statement)}

    def of_person(
        self, store_id: str, user_id: str, device_id: str | None
    ) -> Iterator[tuple[int, str, bytes | None]]:
        """Yield a person's events on one device or all, newest first: shard, entry and event, as `scan` does."""
        conditions = {} if device_id is None else {"device_id": [device_id]}
        for shard in sorted(self.shards(store_id)):
            for entry, body in self.scan(store_id, shard, None, None, {"user_id": [user_id]}, conditions):
                yield shard, entry, body

    def size(self, store_id: str) -> tuple[int, int | None]:
        """Return the number of events, and when the oldest was received (ms)."""
        from sqlalchemy import func, select

        from app.archive.tables import events

        with self._read(store_id) as connection:
            if connection is None:
                return 0, None
            row = connection.execute(select(func.count(), func.min(events.c.ms))).one()
        return row[0], row[1]

    # Removing

    def forget(
        self, store_id: str, user_id: str, device_id: str | None, others: Iterable[tuple[int, str]] = ()
    ) -> int:
        """Erase a person's events on one device or all, and `others` by shard and entry; return how many events.

        Batches that were read from the store before and aren't written yet will be read again. Raises ArchiveAway also
        if everything is erased, but SQLite's log still contains it. Then it may be called again.
        """
        from sqlalchemy import delete, update

        from app.archive.tables import events, positions, punches

        self.claim(store_id)
        count = 0
        with self._database.writing() as connection:
            connection.execute(update(positions).values(erasures=positions.c.erasures + 1))
            for table in (events, punches):
                chosen = table.c.user_id == written(user_id)
                if device_id is not None:
                    chosen &= table.c.device_id == device_id
                removed = connection.execute(delete(table).where(chosen)).rowcount
                count += removed if table is events else 0
            for shard, entry in others:
                ms, sequence = _place(entry)
                count += connection.execute(
                    delete(events).where(
                        (events.c.shard == shard) & (events.c.ms == ms) & (events.c.sequence == sequence)
                    )
                ).rowcount
        empty_log(self._database)
        return count

    def remove_older(self, store_id: str, before_ms: int, types: Sequence[str], *, punches_too: bool) -> int:
        """Remove events of these types that were received before a time, and maybe punches; return how many events."""
        count = 0
        for shard in sorted(self.shards(store_id)):
            for event_type in types:
                count += remove_events(self._database, shard, event_type, before_ms)
        if punches_too:
            remove_punches(self._database, before_ms)
        return count

    def rekey(self) -> tuple[int, int]:
        """Encrypt the data keys again with RELAY_SECRET_KEY; return how many, and how many can't be decrypted."""
        return self._keys.rekey()

    # Backups

    def copied(self, store_id: str, before: Mapping[int, Place]) -> Iterator[tuple[str, Pairs]]:
        """Yield rows for a backup (see `copies`): the events before a place by shard, and all of other shards."""
        self.positions(store_id)  # refuses another store's archive
        return copied(self._database, before)

    def restoring(self, store_id: str) -> Restoring:
        """Return what writes the rows of a backup. Raises ArchiveRefused if this is another store's archive."""
        self.claim(store_id)
        return Restoring(self._database, self._keys)


_OF_ANOTHER_STORE = (
    "The archive belongs to a different store. Check DATABASE_URL. If the store was replaced on purpose, run "
    "`cams-relay archive accept-store`."
)


def _place(entry: str) -> tuple[int, int]:
    """Return an entry's numbers, or the largest that the database can hold."""
    ms, _, sequence = entry.partition("-")
    return min(int(ms), _LARGEST), min(int(sequence), _LARGEST)


def _in_database(values: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the values of columns as they are in the database, each once."""
    return {
        name: list(dict.fromkeys(written(value) or "" if name == "user_id" else value for value in some))
        for name, some in values.items()
    }
