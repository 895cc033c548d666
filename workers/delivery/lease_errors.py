"""Errors that tell the holder of a shard's lease to stop."""


class LeaseLost(Exception):
    """Another worker delivers for the shard now."""


class WritesLost(LeaseLost):
    """The store has lost this worker's writes, for example in a failover. It starts over with the current data."""
