"""Stores the content of a callback, usually with one script call."""
