"""Events that report silent devices, unknown users and refused callbacks."""
