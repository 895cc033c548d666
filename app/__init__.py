"""cams-relay: events and commands of biometric machines for no-code tools."""

__version__ = "1.0.0"
