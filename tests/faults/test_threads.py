"""Hanging calls in one thread pool don't block other pools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.harness import ROOT

_SCRIPT = """
from gevent import monkey
monkey.patch_all()
import socket
import gevent
import app.web.wsgi as wsgi

# A real lock: a thread of the pool waits for it.
go_on = monkey.get_original("_thread", "allocate_lock")()
go_on.acquire()

def hang(*_, **__):
    go_on.acquire()
    go_on.release()
    return []

wsgi._getaddrinfo = hang
guard = wsgi.app.extensions["guard"]
looking = [gevent.spawn(guard.check_url, "http://made-up.example/") for _ in range(40)]
gevent.sleep(0.1)
with open(PATH, "wb") as file:
    done = gevent.spawn(wsgi._sync, file.fileno())
    done.join(50)
    print("synced", done.ready(), "looking", sum(not one.ready() for one in looking))
    named = gevent.spawn(socket.getaddrinfo, "127.0.0.1", 80)
    named.join(50)
    print("the store's name", named.ready())
go_on.release()
gevent.joinall(looking, timeout=20)
"""


def test_forty_hanging_lookups_do_not_block_syncs_or_the_lookup_of_the_store(tmp_path: Path) -> None:
    """They shared ten threads, so the first spooled callback waited 17 s."""
    script = _SCRIPT.replace("PATH", repr(str(tmp_path / "file")))
    environment = {"PATH": "/usr/bin:/bin", "RELAY_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment |= {"RELAY_SPOOL": "off", "RELAY_LOG_LEVEL": "error"}
    environment |= {"REDIS_URL": "redis://127.0.0.1:1/0", "RELAY_SECRET_KEY": "made-up-secret-key-" * 3}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=110
    )
    assert ran.stdout.splitlines() == ["synced True looking 40", "the store's name True"], ran.stderr
