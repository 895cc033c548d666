"""Limits what one stranger or API key can cost a web process, and watches what holds up its event loop."""
