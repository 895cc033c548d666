"""`python -m simulator`: the virtual gateway in a process of its own."""

from simulator.cli import simulator

simulator(prog_name="python -m simulator")
