"""What the holder of a shard's lease is told when it has to stop."""


class LeaseLost(Exception):
    """Another worker delivers for the shard now."""


class WritesLost(LeaseLost):
    """The store has lost what this worker had written, in a failover say: it begins anew with what is there."""
