"""An unreachable store is logged at once, then every minute, and again when it is back."""

from __future__ import annotations

import logging

import pytest

from app.base.outage_log import Absence


def test_an_outage_of_two_minutes_logs_four_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    absence = Absence(logging.getLogger("relay.dispatcher"), clock=lambda: now)
    with caplog.at_level(logging.WARNING, "relay.dispatcher"):
        for tenths in range(1250):
            now = tenths / 10
            absence.note(ConnectionError("made up"))
        absence.end()
        absence.end()
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" (")[0] for line in lines[:3]] == [
        "the store can't be reached",
        "the store has been away for 60 s",
        "the store has been away for 120 s",
    ]
    assert lines[3:] == ["the store is back after 125 s"]
