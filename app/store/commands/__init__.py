"""Commands to devices: their queues, their binding to a registration, and their outcomes."""
