"""Registered devices: their stored data, and each process's copy of it."""
