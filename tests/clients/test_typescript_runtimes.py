"""The TypeScript client in Node.js 18 to 24, Deno, Bun and Chromium."""

from __future__ import annotations

import platform
import stat
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import node
from tests.browser import chromium
from tests.clients.test_typescript_client import CLIENT
from tests.harness import API_KEY
from tests.stage import Stage, stage

RUNTIMES = Path(__file__).parent / "runtimes"
NODES = [f"node-{version}" for version in (18, 20, 22, 24)]
PORTABLE = CLIENT / "test" / "portable.mjs"

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the runtimes are for Linux on x86-64"
)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    made = node.npm(node.installed(CLIENT), "run", "--silent", "build")
    assert made.returncode == 0, made.stdout


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("runtimes")) as made:
        other = made.relay.device()
        other.send_done(other.punch("31"))
        yield made


def command(runtime: str) -> list[str | Path]:
    """Return the command that runs a module in a runtime."""
    modules = node.installed(RUNTIMES) / "node_modules"
    if runtime == "deno":
        program = modules / "@deno" / "linux-x64-glibc" / "deno"
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return [program, "run", "--no-remote", "--allow-env", "--allow-net=127.0.0.1"]
    if runtime == "bun":
        return [modules / "@oven" / "bun-linux-x64" / "bin" / "bun", "run"]
    return [modules / runtime / "bin" / "node"]


@pytest.mark.parametrize("runtime", [*NODES, "deno", "bun"])
def test_the_client_works_in(runtime: str, staged: Stage) -> None:
    ran = node.run(
        CLIENT,
        *command(runtime),
        PORTABLE,
        RELAY_URL=staged.relay.url,
        RELAY_API_KEY=API_KEY,
        DENO_NO_UPDATE_CHECK="1",
    )
    assert ran.returncode == 0 and "portable: everything works" in ran.stdout, ran.stdout


def test_signatures_are_verified_in_a_browser() -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(CLIENT))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/package.json")
            done = page.evaluate(
                "import('/test/portable.mjs').then((module) => module.signatures()).then(() => 'done')"
            )
            assert done == "done"
    finally:
        server.shutdown()
        server.server_close()
