"""The Hybrid Connector: rows of a file or a database, pushed as the gateway's RealTimePunchLog callbacks.

`lines` follows a file, `database` a query; `rows` makes punches of what they read, `callbacks` the documented
body of a punch. `sender` posts it until it is acknowledged, `place` remembers how far that went, `push` ties
them together. It needs no store and no other process of the relay: it may run beside the machine's software.
"""
