"""What ends the connector, and what doesn't."""

from __future__ import annotations


class Stop(Exception):
    """Going on would be no use: the message is a sentence for a person. The place is kept."""


class RowError(ValueError):
    """A row that can't be read: the message says which field and what is wrong. It is put aside."""


class Away(Exception):
    """A file or a database that can't be read just now: the message says why. It is tried again."""
