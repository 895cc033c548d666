"""docs/develop/add-a-field-to-an-event.md: adds `weekday`, the day of the week of a punch."""

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
    """Add the field to the schema, with a description and an example."""
    tree.insert(
        "app/events/types.py",
        '    weekday = _field(fields.Integer, "Day of the week of the punch: 1 is Monday, 7 is Sunday.", 2)\n',
        before="    delay_seconds = _field(",
    )


def fill_in(tree: CopiedTree) -> None:
    """Fill in the field when the event is created."""
    tree.insert(
        "app/events/flatten.py",
        '        "weekday": punch.at.isoweekday(),\n',
        before='        "delay_seconds": int(delay.total_seconds()),\n',
    )


def document(tree: CopiedTree) -> None:
    """Add it to the contract's table and to the changelog."""
    tree.replace(
        "docs/contract.md", "`local_time`, `delay_seconds`,", "`local_time`, `weekday`, `delay_seconds`,"
    )
    tree.insert(
        "CHANGELOG.md",
        "\n- `attendance.punch` has the field `weekday`.\n",
        after="## [Unreleased]\n",
    )


def expect_it(tree: CopiedTree) -> None:
    """Expect the field in the event of the documented callback."""
    tree.insert(SAMPLES, '            "weekday": 4,\n', before='            "is_late_arrival": True,\n')
