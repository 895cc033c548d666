"""A deterministic simulation of the relay's processes, disk and store, with failures. See docs/simulation.md."""
