"""The connector's exceptions, some of which end it."""

from __future__ import annotations


class Stop(Exception):
    """The connector can't continue. The message is a sentence for the user. The place stays saved."""


class RowError(ValueError):
    """A row can't be read. The message says which field and what is wrong. The row is rejected."""


class Away(Exception):
    """A file or a database can't be read at the moment. The message says why. The connector tries again."""
