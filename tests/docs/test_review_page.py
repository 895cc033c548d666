"""docs/integrations/review.md: each rule has a result, and what fails or doesn't apply has a reason."""

from __future__ import annotations

import re

import pytest

from tests.harness import ROOT

PAGE = ROOT / "docs" / "integrations" / "review.md"
_, *SECTIONS = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
ROWS = {
    section.partition("\n")[0]: [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith(("| rule |", "| check |", "| --- |"))
    ]
    for section in SECTIONS
}


def test_each_platform_has_a_section() -> None:
    assert {"Zapier", "Make"} <= set(ROWS)
    assert min(len(rows) for rows in ROWS.values()) > 20


@pytest.mark.parametrize("platform", ROWS)
def test_each_rule_has_a_result(platform: str) -> None:
    for rule, result, reason in ROWS[platform]:
        assert rule and result in ("pass", "fail", "N/A"), rule
        assert result == "pass" or reason.endswith("."), f"{rule}: no reason"
