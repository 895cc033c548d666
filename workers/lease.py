"""What the holder of a shard's lease is told when it has lost it."""


class LeaseLost(Exception):
    """Another worker delivers for the shard now."""
