"""The help of the command line fits a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import click

from app.cli import main

_COLUMNS = 80
_INDENTATION = 6  # before the names, between names and texts, and at the end


def _listed(group: click.Group, path: str) -> Iterator[tuple[str, str]]:
    context = click.Context(group)
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    room = _COLUMNS - _INDENTATION - max(len(name) for name in commands)
    for name, command in commands.items():
        assert command is not None
        yield f"{path}{name}", command.get_short_help_str(room)
        if isinstance(command, click.Group):
            yield from _listed(command, f"{path}{name} ")


def test_no_command_is_listed_with_half_a_sentence() -> None:
    listed = dict(_listed(main, ""))
    assert len(listed) > 40
    assert [f"{name}: {text}" for name, text in listed.items() if text.endswith("...") or not text] == []
