"""Outgoing HTTP calls: the client, its messages, and the resolver for names."""
