"""docs/develop/add-a-field-to-an-event.md: `weekday`, the day of the week of a punch."""

from __future__ import annotations

from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-a-field-to-an-event.md"
SAMPLES = "tests/relay/test_samples.py"
TESTS = (
    "tests/docs/test_docs_are_up_to_date.py",
    "tests/make/test_app_is_the_program.py",
    SAMPLES,
)


def define(tree: CopiedTree) -> None:
    """The field in the schema, with a description and an example."""
    tree.insert(
        "app/events/types.py",
        '    weekday = _field(fields.Integer, "Day of the week of the punch: 1 is Monday, 7 is Sunday.", 2)\n',
        before="    delay_seconds = _field(",
    )


def fill_in(tree: CopiedTree) -> None:
    """The function that makes the event."""
    tree.insert(
        "app/events/flatten.py",
        '        "weekday": punch.at.isoweekday(),\n',
        before='        "delay_seconds": int(delay.total_seconds()),\n',
    )


def document(tree: CopiedTree) -> None:
    """The contract's table and the changelog."""
    tree.replace(
        "docs/contract.md", "`local_time`, `delay_seconds`,", "`local_time`, `weekday`, `delay_seconds`,"
    )
    tree.insert(
        "CHANGELOG.md",
        "\n- `attendance.punch` has the field `weekday`.\n",
        after="## [Unreleased]\n",
    )


def expect_it(tree: CopiedTree) -> None:
    """The value that the documented callback leads to."""
    tree.insert(SAMPLES, '            "weekday": 4,\n', before='            "is_late_arrival": True,\n')
