"""The protocol of the Cams Biometric Gateway (Web API 3.0), and nothing else. Pure, without I/O.

`callbacks` turns the gateway's JSON into facts. `commands` builds the documented bodies from flat fields, and
`command_answers` reads the gateway's answers. `operations` is the only registry of operations. Both directions share
`cipher`, `clock` and `status_codes`. The gateway's own spelling (UserID, LogTime) is only used in this package.
"""
