"""Errors that end the connector, and errors that don't."""

from __future__ import annotations


class Stop(Exception):
    """The connector can't continue. The message is a sentence for people. The place is kept."""


class RowError(ValueError):
    """A row can't be read. The message says which field and what is wrong. The row is put aside."""


class Away(Exception):
    """A file or a database can't be read at the moment. The message says why. It is tried again."""
