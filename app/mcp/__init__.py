"""`cams-relay mcp`: the relay for AI assistants, by the Model Context Protocol.

A client of the relay's HTTP API, as any other: what a caller may do is what the API key may do. `tools` is what a tool
is and which of them a key gets to see, `commands` makes tools of the machines' commands, `reads` and `attendance`
answer questions, `reference` and `prompts` are texts, `server` puts them together, `http` serves it beside stdio.

Nothing that identifies a body, and no credential, passes here: a tool takes only the fields it lists, and answers
only with those it names (`app/mcp/commands.py`).
"""
