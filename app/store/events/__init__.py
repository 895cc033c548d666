"""Stored events: reading them, unreadable ones, and the events that the relay itself creates."""
