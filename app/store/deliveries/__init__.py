"""Deliveries: their records, counts and lists, replays, and parked subscriptions."""
