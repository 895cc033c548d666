"""Waiting for new events and for commands to end."""
