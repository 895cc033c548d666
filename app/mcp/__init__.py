"""`cams-relay mcp`: the relay for AI assistants, by the Model Context Protocol.

It is a client of the relay's HTTP API like any other, with the permissions of the API key. `tools` defines tools and
which of them a key can see, `commands` turns the devices' commands into tools, `reads` and `attendance` answer
questions, `reference` and `prompts` are texts, `server` combines them, and `http` serves them over HTTP, in addition
to stdio.

No biometric data and no credentials pass through it: a tool only accepts the fields that it lists, and only answers
with the fields that it names (`app/mcp/commands.py`).
"""
