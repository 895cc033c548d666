"""The protocol of the Cams Biometric Gateway (Web API 3.0) and nothing else: pure, no I/O.

`callbacks` turns the gateway's JSON into facts, `commands` flat actions into its documented bodies and its
answers into results. `operations` is the one registry of all 38; `cipher`, `clock` and `codes` are what both
directions share. The gateway's own spelling (UserID, LogTime) ends here.
"""
