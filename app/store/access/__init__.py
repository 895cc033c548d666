"""Who may call: API keys, sessions, failed attempts; and the audit log."""
