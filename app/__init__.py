"""cams-relay: events and commands of biometric machines for no-code tools."""

__version__ = "0.1.0"
