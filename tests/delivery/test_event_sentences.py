"""Each event is described in a plain sentence, and names can't add formatting, mentions or links in a chat."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.events import messages
from app.events.samples import sample
from app.events.sentences import TYPES_WITH_A_SENTENCE, sentence
from app.events.types import EVENT_TYPES, FIELDS
from tests.delivery.chat_platforms import PLATFORMS, Platform

EVENTS = {name: {**sample(name), "test": False} for name in EVENT_TYPES}
SECRET = "made-up-secret"
SECRETS = ("photo_url", "body_url", "auth_token_hint", "credential_digest", "card_number", "card_last4")


def test_every_event_type_has_its_own_sentence() -> None:
    assert set(EVENT_TYPES) == TYPES_WITH_A_SENTENCE


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_sentence_contains_no_secret_link_or_null(event_type: str) -> None:
    event = EVENTS[event_type]
    hidden = {name: SECRET for name in SECRETS if name in event}
    text_line = sentence({**event, **hidden})
    assert len(text_line) > 20
    assert SECRET not in text_line and "://" not in text_line
    assert not re.search(r"None|null|True|False|[{}]|  |\.$", text_line)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_sentence_is_complete_if_fields_are_null_or_missing(event_type: str) -> None:
    for event in (
        {**dict.fromkeys(FIELDS[event_type]), "type": event_type},
        {"type": event_type},
    ):
        text_line = sentence(event)
        assert text_line and "None" not in text_line


@pytest.mark.parametrize(
    ("event_type", "changes", "text_line"),
    [
        ("attendance.punch", {}, "Asha Rao (2) checked in at Front Door, 09:01"),
        ("attendance.punch", {"user_name": None}, "User 2 checked in at Front Door, 09:01"),
        ("attendance.punch", {"device_label": None}, "Asha Rao (2) checked in at ZHM1100001, 09:01"),
        ("attendance.punch", {"punch_type": None}, "Asha Rao (2) punched at Front Door, 09:01"),
        ("attendance.punch", {"punch_type": "access"}, "Asha Rao (2) punched (access) at Front Door, 09:01"),
        ("attendance.punch", {"revision": 2}, "Corrected: Asha Rao (2) checked in at Front Door, 09:01"),
        ("attendance.punch", {"test": True}, "Test: Asha Rao (2) checked in at Front Door, 09:01"),
        (
            "attendance.punch",
            {"occurred_at": "2026-11-23T23:59:00+05:30"},
            "Asha Rao (2) checked in at Front Door, 2026-11-23 23:59",
        ),
        ("attendance.punch", {"occurred_at": None}, "Asha Rao (2) checked in at Front Door, 03:31 UTC"),
        ("attendance.punch", {"user_name": "Asha\nRao\u202e\t "}, "Asha Rao (2) checked in at Front Door, 09:01"),
        ("attendance.day_changed", {}, "Asha Rao (2) on 2026-11-24: first in 09:01, last out 18:10, 9.14 h"),
        (
            "attendance.day_changed",
            {"last_out": None, "worked_hours": None, "is_late": True, "late_seconds": 900, "missing_punch": True},
            "Asha Rao (2) on 2026-11-24: first in 09:01, 15 min late, a punch is missing",
        ),
        ("device.silent", {}, "No contact from Front Door since 09:01"),
        (
            "device.silent",
            {"occurred_at": "2026-11-24T05:01:46Z"},
            "No contact from Front Door since 03:31 UTC",
        ),
        ("device.back", {}, "Front Door is back in contact after 1 h 30 min"),
        (
            "command.failed",
            {},
            "Command enable-user for user 2 on Front Door failed: No user has this ID on the device",
        ),
        ("credential.updated", {"credential_type": "password", "is_new": False},
         "The PIN of user 8 was changed on Front Door, 09:01"),
        ("callback.refused", {"count": 1, "message": None}, "A callback from 203.0.113.7 was refused"),
        (
            "subscription.disabled",
            {},
            "Subscription sub_4h3gw8x2m1k6p9r5t7v3y2b1 was disabled: The target failed for 5 days running",
        ),
    ],
)  # fmt: skip
def test_a_sentence_describes_its_event(event_type: str, changes: dict[str, Any], text_line: str) -> None:
    assert sentence({**EVENTS[event_type], **changes}) == text_line


def test_an_event_of_an_unknown_type_is_described_by_its_type() -> None:
    assert sentence({**EVENTS["user.deleted"], "type": "door.opened"}) == "door.opened at Front Door, 09:01"


@pytest.fixture(params=["slack", "google_chat", "discord", "teams"])
def platform(request: pytest.FixtureRequest) -> Platform:
    """A platform that is only used to read messages."""
    return PLATFORMS[request.param].__new__(PLATFORMS[request.param])


def name_of(platform: Platform) -> str:
    return next(name for name, kind in PLATFORMS.items() if kind is type(platform))


BAD_NAMES = (
    "<!channel>", "<!everyone|x>", "<@U123>", "@everyone", "@here", "<users/all>", "<https://example.com|Asha>",
    "[Asha](https://example.com)", "**Asha** __Rao__ ~~x~~ `y` ||z||", "# Asha", "> Asha", "- Asha", "1. Asha",
    "\\@everyone", "&lt;!channel&gt;", "{{DATE(2026-01-01T00:00:00Z)}}", "<at>Asha</at>", "a_b_c", "🙂 అష",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_is_shown_literally_without_effect(platform: Platform, name: str) -> None:
    line = sentence({**EVENTS["attendance.punch"], "user_name": name})
    (shown,) = platform.read(messages.message(name_of(platform), [line]))
    plain = shown.replace("\u200b", "")
    assert plain == (line.replace("<", "‹").replace(">", "›") if name_of(platform) == "google_chat" else line)
    assert "@everyone" not in shown or name_of(platform) != "slack"  # Mattermost takes Slack's messages


@pytest.mark.parametrize("character", ["x", "&", "*", "@", "<", "🙂", '"', "\u0c05"])
@pytest.mark.parametrize("count", [1, 2, 13, 500])
def test_a_message_stays_within_the_platforms_size_and_counts_omitted_events(
    platform: Platform, character: str, count: int
) -> None:
    lines = [f"{number}: {character * 600}" for number in range(count)]
    shown = platform.read(messages.message(name_of(platform), lines))
    found = re.fullmatch(r"and (\d+) more", shown[-1])
    told = shown[:-1] if found else shown
    assert [line.split(":")[0] for line in told] == [str(number) for number in range(len(told))]
    assert len(told) >= 1
    assert len(told) + (int(found[1]) if found else 0) == count
    assert all(line.endswith("…") for line in told)


def test_short_lines_are_all_shown(platform: Platform) -> None:
    lines = [f"Line {number}" for number in range(100)]
    assert platform.read(messages.message(name_of(platform), lines)) == lines


def test_discords_body_is_as_documented() -> None:
    assert json.loads(messages.message("discord", ["Hi"])) == {
        "content": "Hi",
        "allowed_mentions": {"parse": []},
    }


def test_the_documentation_shows_the_sentences() -> None:
    text = Path("docs/webhooks.md").read_text()
    for event_type in ("attendance.punch", "device.silent", "command.failed"):
        assert sentence(EVENTS[event_type]) in text
