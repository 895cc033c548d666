"""A deterministic simulation of the relay's processes, disk, store and what fails. See docs/simulation.md."""
