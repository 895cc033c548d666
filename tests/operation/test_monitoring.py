"""Prometheus accepts the example alerts and the dashboard, which only use existing metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from app.settings.table import load
from app.store import Store
from app.store.upkeep.loop_reports import LOOP_FAILURES
from tests.harness import ROOT, Receiver, Relay, wait_for

FOLDER = ROOT / "docs" / "monitoring"
ALERTS = FOLDER / "alerts.yml"
_NAME = re.compile(r"\bcams_relay_\w+")


def promtool(*arguments: str | Path) -> str:
    program = shutil.which("promtool")
    assert program, "promtool is not installed: run scripts/install-promtool"
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def expressions() -> list[str]:
    """Return the expressions of the alerts and of the dashboard."""
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [one["expr"] for panel in panels for one in panel["targets"]]


def test_the_rules_and_the_example_are_valid() -> None:
    assert "23 rules found" in promtool("check", "rules", ALERTS)
    promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")


def test_alerts_fire_on_a_bad_day_and_not_on_a_quiet_one(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "alerts_test.yml").read_text()
    file = tmp_path / "test.yml"
    file.write_text(cases.replace("ALERTS]", f"{ALERTS}]"))
    assert "SUCCESS" in promtool("test", "rules", file)
    named = {rule["alert"] for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
    assert named == set(re.findall(r"alertname: (Relay\w+)", cases))


def test_every_alert_links_to_its_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", runbook, re.MULTILINE | re.DOTALL))
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert list(sections) == [rule["alert"] for rule in rules]
    for rule in rules:
        link = f"https://github.com/cams-relay/cams-relay/blob/main/docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == link
        parts = re.findall(r"^- \*\*(.+?):\*\* \S", sections[rule["alert"]], re.MULTILINE)
        assert parts == ["What it means", "Impact", "What to do", "Resolved when"], rule["alert"]


def test_every_expression_of_the_dashboard_is_valid() -> None:
    rules = {
        "groups": [
            {
                "name": "x",
                "rules": [{"record": f"r{at}", "expr": one} for at, one in enumerate(expressions())],
            }
        ]
    }
    ran = subprocess.run(
        [shutil.which("promtool") or "promtool", "check", "rules", "/dev/stdin"],
        input=yaml.safe_dump(rules),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_alerts_and_dashboard_only_use_existing_metrics(relay: Relay, receiver: Receiver) -> None:
    device = relay.device()
    relay.subscribe(receiver, device)
    device.send_done(device.punch())
    receiver.wait(1)
    device.send(b"{}")
    before = relay.call("GET", "/v1/me", key="crk_made-up-and-wrong")
    assert before.status_code == 401
    metrics = relay.call("GET", "/metrics").text
    named = {name for one in expressions() for name in _NAME.findall(one)}
    missing = {name for name in named if not re.search(rf"^(?:# HELP )?{name}[{{ ]", metrics, re.MULTILINE)}
    assert not missing
    assert re.search(
        rf'^cams_relay_device_last_seen_timestamp_seconds{{device_id="{device.id}"}} 1\.\d+e\+09',
        metrics,
        re.M,
    )
    assert "\ncams_relay_store_up 1.0" in metrics and "\ncams_relay_shards_without_worker 0.0" in metrics
    labels = set(re.findall(r'[{,](\w+)="', metrics))
    assert labels <= {"device_id", "subscription_id", "reason", "loop", "process"}
    assert device.token not in metrics


def test_a_backlog_has_an_age(relay: Relay, receiver: Receiver) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    device = relay.device()
    made = relay.subscribe(receiver, device)
    device.send_done(device.punch())

    def metric_value(name: str) -> float:
        line = f'cams_relay_deliveries_{name}{{subscription_id="{made["id"]}"}} '
        metrics = relay.call("GET", "/metrics").text
        return float(metrics.partition(line)[2].partition("\n")[0] or 0)

    wait_for(lambda: metric_value("failed_total") >= 1)
    wait_for(lambda: metric_value("dead") == 1 or metric_value("oldest_seconds") > 0)


def test_the_documentation_lists_all_metrics(relay: Relay, receiver: Receiver) -> None:
    device = relay.device()
    relay.subscribe(receiver, device)
    device.send_done(device.punch())  # gives each label a value
    device.send(b"{}")
    Store(load(relay.environment)).relay_events.count(f"{LOOP_FAILURES}made-up")
    metrics = relay.call("GET", "/metrics").text
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", metrics, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", metrics, re.MULTILINE))
    labels = dict(re.findall(r"^(\w+)\{(\w+)=", metrics, re.MULTILINE))
    listed = re.findall(
        r"^\| `(cams_relay_\w+)` \| (\w+) \| `?(\w*)`? \| (.+) \|$",
        (ROOT / "docs" / "api.md").read_text(),
        re.MULTILINE,
    )
    assert listed == [(name, kinds[name], labels.get(name, ""), text) for name, text in helps.items()]


def test_wrong_api_keys_are_not_counted_as_refused_callbacks(relay: Relay) -> None:
    """The console used to add up every counter without a device."""
    relay_store = Store(load(relay.environment))
    before = relay_store.history.totals()["refused"]
    assert relay.call("GET", "/v1/me", key="crk_made-up-and-wrong").status_code == 401
    relay_store.relay_events.count(f"{LOOP_FAILURES}made-up")
    assert relay_store.history.totals()["refused"] == before
    device = relay.device()
    assert device.send(b"{}").status_code == 401
    wait_for(lambda: relay_store.history.totals()["refused"] == before + 1)  # counts are written in batches
