"""docs/develop/add-a-setting.md: adds `RELAY_CONSOLE`, which turns the console off."""

from __future__ import annotations

from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-a-setting.md"
DOCUMENTED = "tests/docs/test_docs_are_up_to_date.py"
TEST = "tests/console/test_turned_off.py"
TESTS = (DOCUMENTED, TEST)


def define(tree: CopiedTree) -> None:
    """Add the variable, and the field of `Settings`."""
    tree.insert(
        "app/settings/table.py",
        """    Variable(
        "RELAY_CONSOLE",
        "console",
        "1",
        "0",
        "`0` turns the console off.",
        read.switch,
    ),
""",
        before='    Variable(\n        "RELAY_METRICS_OPEN",\n',
    )
    tree.insert("app/settings/table.py", "    console: bool\n", before="    metrics_open: bool\n")


def use(tree: CopiedTree) -> None:
    """Use the setting in the module that needs it."""
    tree.replace(
        "app/web/application.py",
        "    console.register(app)\n",
        "    if settings.console:\n        console.register(app)\n",
    )


def document(tree: CopiedTree) -> None:
    """Add it to the changelog."""
    tree.insert(
        "CHANGELOG.md",
        "\n- `RELAY_CONSOLE=0` turns the console off.\n",
        after="## [Unreleased]\n",
    )


def add_test(tree: CopiedTree) -> None:
    """Add a test that sets it."""
    tree.create(
        TEST,
        '''"""`RELAY_CONSOLE=0` turns the console off."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings.table import SettingsError, load
from app.web.application import create_app

MADE_UP = {"RELAY_SECRET_KEY": "x" * 32, "RELAY_API_KEY": "x" * 32}


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_console_can_be_turned_off(tmp_path: Path, value: str) -> None:
    settings = load({**MADE_UP, "RELAY_DATA_DIR": str(tmp_path), "RELAY_CONSOLE": value})
    paths = {rule.rule for rule in create_app(settings).url_map.iter_rules()}
    assert ("/console/devices" in paths) is (value == "1")


def test_another_value_is_refused() -> None:
    with pytest.raises(SettingsError, match="RELAY_CONSOLE"):
        load({"RELAY_CONSOLE": "perhaps"})
''',
    )
