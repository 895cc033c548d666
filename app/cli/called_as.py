"""The name by which the user called the program, so that commands in messages can be copied and run."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

NAME = "cams-relay"
# The caches of `uvx`, which adds programs to PATH only while they run.
_CACHES = ("archive-v0", "environments-v2")


def called_as() -> str:
    """Return the command's name: `cams-relay`, `.venv/bin/cams-relay`, or `python3 -m app`."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python3 -m app"
    if program.name != NAME:  # a test, or another program that imports this package
        return NAME
    found = shutil.which(NAME)
    if found and os.path.samefile(found, program) and not set(_CACHES) & set(program.resolve().parts):
        return NAME
    try:
        return str(program.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(program.absolute())


def with_name(text: str) -> str:
    """Replace `cams-relay` in a text's commands (in backticks) with the name by which the program was called."""
    return text.replace(f"`{NAME} ", f"`{called_as()} ")


class NamedGroup(click.Group):
    """A group whose error messages name commands as the user calls them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError:
            raise
        except click.ClickException as error:
            raise click.ClickException(with_name(error.message)) from None
        except OSError as error:
            from app.store.server.embedded import EmptyFile, NotMade

            if not isinstance(error, NotMade | EmptyFile):
                raise
            raise click.ClickException(with_name(str(error))) from None
