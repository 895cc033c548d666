"""A request that reads or writes a lot of data lets other work in its process run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.client import Pipeline

from app.settings.table import load
from app.store import Store
from app.store.attendance.index import pair
from app.store.events.query import Query
from app.store.server.pipelines import MOST_CALLS, asked
from tests.harness import ROOT
from tests.stores import PASSWORD, Server

DEVICES, USERS, SUBSCRIPTIONS, EVENTS = 510, 510, 40, 2_000
MONTH = date(2026, 11, 1), date(2026, 11, 30)
SUBSCRIPTION = {
    "target_url": "http://127.0.0.1:9/",
    "events": ("*",),
    **dict.fromkeys(("device_ids", "user_ids", "punch_types", "command_ids"), frozenset[str]()),
    "format": "json",
    "description": "",
    "max_in_flight": 1,
    "batch_max": 1,
    "batch_wait_ms": 0,
    "include_card_numbers": False,
    "headers": {},
}

TURNS = """
from gevent import monkey; monkey.patch_all()
import os
import gevent
from app.api import tables, workbook
seen = []
def other():
    while True:
        seen.append(1)
        gevent.sleep(0)
gevent.spawn(other)
"""

CSV = """
rows = ({"user_id": str(number)} for number in range(4_000))
content = tables.as_csv(["user_id"], rows, "x.csv").get_data()
assert content.count(b"\\n") == 4_001
assert len(seen) >= 19, len(seen)

"""

WORKBOOK = """
during = []
def rows():
    for number in range(4_000):
        yield {"user_id": os.urandom(200).hex()}
    during.append(len(seen))
assert workbook.as_xlsx(rows(), "x.xlsx").get_data().startswith(b"PK")
assert during[0] >= 19, during
assert len(seen) - during[0] >= 2, (during, len(seen))  # while it was compressed
"""

STORE = """
from app.settings.table import load
from app.store import Store
from app.store.events.query import Query
before = len(seen)
found = sum(1 for _ in Store(load(dict(os.environ))).events.all(Query()))
assert found == int(os.environ["EVENTS"]), found
assert len(seen) - before >= 9, (before, len(seen))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A store of 16 shards with many devices, users, subscriptions and events."""
    folder = tmp_path_factory.mktemp("heavy")
    server = Server(folder, "store", 'save ""', password=PASSWORD)
    settings = {
        "REDIS_URL": server.url,
        "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
        "RELAY_DATA_DIR": str(folder / "data"),
        "RELAY_SHARDS": "16",
    }
    _fill(Store(load(settings)))
    yield settings
    server.kill()


def _fill(store: Store) -> None:
    for number in range(DEVICES):
        record = {"device_id": f"D{number}", "label": "x", "serial_number": None, "timezone": "UTC"}
        store.devices.register(record, {"auth_token": f"made-up-{number}", "security_key": None})
    device = store.devices.get("D0")
    assert device is not None
    pipeline = store.connection.redis.pipeline(transaction=False)
    for number in range(USERS):
        user, shard = f"U{number}", device.shard
        pipeline.hset(
            shard.user("D0", user), "profile", store.users.seal("D0", user, {"first_name": f"N{number}"})
        )
        pipeline.zadd(shard.users("D0"), {user: 0})
        pipeline.zadd(
            shard.attendance_day(datetime(2026, 11, 5).toordinal() - 719_163), {pair(user, "D0"): 0}
        )
    for _ in range(SUBSCRIPTIONS):
        store.subscriptions.create(dict(SUBSCRIPTION), {})
    pipeline.execute()
    for _ in range(EVENTS):
        store.relay_events.publish("subscription.disabled", {"subscription_id": "x", "reason": "x"})


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of commands in each pipeline sent during the test."""
    found: list[int] = []
    execute = Pipeline.execute

    def counted(pipeline: Any, *arguments: Any, **options: Any) -> Any:
        found.append(len(pipeline.command_stack))
        return execute(pipeline, *arguments, **options)

    monkeypatch.setattr(Pipeline, "execute", counted)
    return found


READS = {
    "every device": lambda store: store.devices.load_all(),
    "time zones": lambda store: store.devices.timezones(store.devices.ids()),
    "counters of devices": lambda store: store.devices.counted(),
    "devices' people": lambda store: store.devices.forget_people(),
    "names of users": lambda store: store.users.names(
        store.devices.get("D0"), [f"U{number}" for number in range(USERS)]
    ),
    "users": lambda store: store.users.show(store.devices.get("D0"), [f"U{n}" for n in range(USERS)]),
    "a month of attendance": lambda store: list(store.attendance.all(*MONTH)),
    "deliveries of subscriptions": lambda store: store.delivery_counts.overview(store.subscriptions.ids(), 0),
    "attempts of subscriptions": lambda store: store.deliveries.series(
        store.subscriptions.ids(), 0, 24 * 3_600_000, 24
    ),
    "totals": lambda store: store.history.totals(),
    "silent devices": lambda store: list(store.alerts._states()),
    "tests of subscriptions": lambda store: store.deliveries.late_tests(store.subscriptions.ids(), 0),
}


@pytest.mark.parametrize("read", READS)
def test_pipelines_have_a_maximum_length(environment: dict[str, str], sizes: list[int], read: str) -> None:
    READS[read](Store(load(environment)))
    assert sizes and max(sizes) <= MOST_CALLS


@pytest.mark.parametrize("count", [0, 1, 250, 251, 600])
def test_each_result_belongs_to_its_item(environment: dict[str, str], count: int) -> None:
    client = Store(load(environment)).connection.redis

    def call(pipeline: Any, number: int) -> None:
        pipeline.echo(number)
        pipeline.echo(-number)

    assert list(asked(client, range(count), call, calls=2)) == [
        (number, [b"%d" % number, b"%d" % -number]) for number in range(count)
    ]


def test_other_requests_run_between_the_parts_of_an_export(
    environment: dict[str, str], tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TURNS + CSV + WORKBOOK + STORE],
        cwd=ROOT,
        env={**os.environ, **environment, "EVENTS": str(EVENTS), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_filter_without_matches_reads_a_bounded_number_of_events(
    environment: dict[str, str],
) -> None:
    found = Store(load(environment)).events.page(Query(types=("attendance.*",), user_ids=("nobody",)), 50)
    assert found.events == [] and found.next_cursor is None
