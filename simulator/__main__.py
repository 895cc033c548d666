"""`python -m simulator`: the simulator in a separate process."""

from simulator.cli import simulator

simulator(prog_name="python -m simulator")
