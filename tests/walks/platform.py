"""docs/develop/add-a-platform.md: adds a receiver for a platform that doesn't exist."""

from __future__ import annotations

from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-a-platform.md"
TEST = "tests/integrations/test_acme.py"
TESTS = (TEST, "tests/docs/test_docs_are_up_to_date.py")


def add_receiver(tree: CopiedTree) -> None:
    """Create the receiver that people install, and a test that runs it against a relay."""
    tree.create(
        "examples/acme/receiver.py",
        '''"""Print a line for Acme for each punch. Usage: receiver.py PORT"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(f"acme: {event['user_id']} {event['direction']}", flush=True)
        self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
''',
    )
    tree.create(
        TEST,
        '''"""The receiver in examples/acme prints each punch that a relay delivers."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness import ROOT, Device, wait_for
from tests.integrations.programs import running
from tests.stage import Stage


def test_a_punch_is_printed(stage: Stage, device: Device, tmp_path: Path) -> None:
    receiver = ROOT / "examples" / "acme" / "receiver.py"
    with running(tmp_path, sys.executable, receiver, "{port}") as program:
        stage.relay.subscribe(program, device)
        device.send_done(device.punch("7"))
        wait_for(program.printed, 30)
        assert program.printed() == ["acme: 7 in"]
''',
    )


def document(tree: CopiedTree) -> None:
    """Create the page, and add its row to the table."""
    tree.create(
        "docs/integrations/acme.md",
        "# Acme\n\n1. Start `examples/acme/receiver.py 9000`.\n"
        "2. [Subscribe](README.md#what-every-tool-needs) it to `attendance.punch`.\n",
    )
    tree.insert(
        "docs/integrations/README.md",
        "| [Acme](acme.md) | a receiver that prints a line | run against a relay |\n",
        before="| [a database](receivers.md#into-a-database) |",
    )
