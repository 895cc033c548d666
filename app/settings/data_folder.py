"""The relay's data folder if RELAY_DATA_DIR isn't set."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

IN_CHECKOUT = Path(".data")
_OF_A_RELAY = ("secret_key", "api_key", "store", "spool", "up.lock")


def default_data_dir() -> Path:
    """Return the folder to use without RELAY_DATA_DIR.

    It is `.data` in the current folder if a relay's data is already there, or if the program runs from a checkout.
    Otherwise, it is the user's data folder, so that it doesn't depend on the current folder. A `.data` that another
    user may have put there is ignored, because that user would know its keys.
    """
    if not (_is_checkout() or _may_hold_relay_data(IN_CHECKOUT)):
        return user_data_dir()
    if _distrust(IN_CHECKOUT) is not None:
        return _instead(user_data_dir())
    return IN_CHECKOUT


def user_data_dir() -> Path:
    """Return the user's folder, such as `~/.local/share/cams-relay`, or a folder in `XDG_DATA_HOME`."""
    from platformdirs import user_data_path  # not needed in a checkout

    return user_data_path("cams-relay", appauthor=False)


def holds_relay_data(folder: Path) -> bool:
    """Return whether a relay has used this folder; False if the folder can't be read."""
    try:
        return any((folder / name).exists() for name in _OF_A_RELAY)
    except OSError:
        return False


def explain_data_dir(data_dir: Path) -> str | None:
    """Return a sentence if the current folder decided which data an installed relay uses; otherwise None."""
    if data_dir is not IN_CHECKOUT or _is_checkout():  # an equal path comes from RELAY_DATA_DIR
        return None
    other = user_data_dir()
    also = f" There is also a relay's data in {other}." if holds_relay_data(other) else ""
    return (
        f"Using the relay's data in {data_dir.absolute()}, because it is in the current folder.{also} Set "
        f"RELAY_DATA_DIR to choose a folder, for example RELAY_DATA_DIR={data_dir.absolute()}."
    )


def explain_ignored_data(data_dir: Path) -> str | None:
    """Return a sentence if `data_dir` is used because the current folder's `.data` can't be trusted; or None."""
    reason = _distrust(IN_CHECKOUT)
    if reason is None or data_dir is not _instead(user_data_dir()):  # an equal path comes from RELAY_DATA_DIR
        return None
    return (
        f"Ignoring the folder {IN_CHECKOUT.absolute()}, because {reason}, and using {data_dir} instead. To use it "
        f"anyway, set RELAY_DATA_DIR={IN_CHECKOUT.absolute()}."
    )


def read_data_dir(text: str) -> Path:
    """Read the setting's value; `~` is the home folder."""
    return Path(text).expanduser() if text else default_data_dir()


@cache
def _instead(folder: Path) -> Path:
    """Return the same object for equal folders, to distinguish it from a path in RELAY_DATA_DIR."""
    return folder


def _may_hold_relay_data(folder: Path) -> bool:
    """Return whether a relay has used this folder, or this can't be determined."""
    try:
        return any((folder / name).exists() for name in _OF_A_RELAY)
    except OSError:
        return True


def _distrust(folder: Path) -> str | None:
    """Return why a default folder must not be used; None if only we can change it, or if it doesn't exist.

    In a checkout, its owner is also trusted, because that user's code is running.
    """
    owners = {os.geteuid(), code_owner()}
    try:
        found, behind = folder.lstat(), folder.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return "it can't be read"
    if not {found.st_uid, behind.st_uid} <= owners:
        return "it belongs to another user"
    if _is_checkout():
        return None
    if behind.st_mode & 0o022:
        return "other users can write to it"
    return None if os.access(folder, os.R_OK | os.X_OK) else "it can't be read"


def code_owner() -> int:
    """Return the owner of the checkout that is running, or this process's user for an installed package."""
    return _root().stat().st_uid if _is_checkout() else os.geteuid()


def _root() -> Path:
    return Path(__file__).resolve().parent.parent.parent


def _is_checkout() -> bool:
    """Return whether this package is in a checkout of the repository rather than an installed package."""
    root = _root()
    return (root / "pyproject.toml").is_file() and (root / "Makefile").is_file()
