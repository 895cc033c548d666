"""Logging: a line a thing, to stderr. What is logged never holds a secret: see tests/relay/test_no_secret_leaks.py."""

from __future__ import annotations

import logging


def configure(level: str) -> None:
    """Sets up the root logger once for a process."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("urllib3").setLevel(logging.WARNING)
