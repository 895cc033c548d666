"""Receiving a callback: reading its body, authenticating its sender, and answering it. Contract §2."""
