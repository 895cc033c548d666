"""Subscriptions to webhooks, and their keys in the store."""
