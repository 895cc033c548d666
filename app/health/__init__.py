"""Checks that find misconfiguration and problems."""
