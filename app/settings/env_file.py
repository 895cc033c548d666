"""The file `.env` in the current folder, which may contain settings."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dotenv import dotenv_values

from app.settings.data_folder import code_owner

ENV_FILE = Path(".env")
WITHOUT_ENV_FILE = "The relay doesn't start without them. If you don't need them, start it in another folder."


def read_env_file() -> dict[str, str]:
    """Return the variables in `.env`; none if another user may have written it, as settings decide where data goes.

    Raises UnicodeDecodeError if it isn't UTF-8.
    """
    descriptor = _open()
    if not isinstance(descriptor, int):
        return {}
    with open(descriptor, encoding="utf-8") as file:
        if _refuse(os.fstat(descriptor)) is not None:
            return {}
        try:
            return {name: value for name, value in dotenv_values(stream=file).items() if value is not None}
        except OSError:
            return {}


def explain_ignored_env_file() -> str | None:
    """Return a sentence if there is a `.env` that isn't read; otherwise None."""
    reason = descriptor = _open()
    if isinstance(descriptor, int):
        try:
            reason = _refuse(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    if reason is None:
        return None
    return (
        f"Ignoring the settings in {ENV_FILE.absolute()}, because {reason}. To use them, run `sudo chown $(id -un) "
        ".env && chmod go-w .env`, after you have checked them."
    )


def _open() -> int | str | None:
    """Return a file descriptor of `.env`, which may be a link; or why it can't be read; or None if there is none.

    A folder doesn't count, because it is often a virtual environment.
    """
    try:
        # Opening a named pipe would block.
        descriptor = os.open(ENV_FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return "it can't be read"
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def _refuse(found: os.stat_result) -> str | None:
    """Return why an opened file must not be read; None if it may be."""
    return _distrust(found) if stat.S_ISREG(found.st_mode) else "it is not a regular file"


def _distrust(found: os.stat_result) -> str | None:
    """Return why a file must not be read; None if nobody else can have written it.

    Many systems have a separate group for each user, and create files with mode 0664. In a checkout, its owner is also
    trusted, because that user's code is running.
    """
    if found.st_uid not in {os.geteuid(), 0, code_owner()}:
        return "it belongs to another user"
    of_group = found.st_mode & 0o020 and found.st_gid not in (os.getegid(), 0)
    return "other users can write to it" if found.st_mode & 0o002 or of_group else None
