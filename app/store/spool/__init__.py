"""The spool: callbacks on this machine's disk while the store is away."""
