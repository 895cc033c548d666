"""The Hybrid Connector, which reads rows from a file or a database and pushes them as RealTimePunchLog callbacks.

`lines` reads a growing file, and `database` a query. `rows` turns their rows into punches, and `callbacks` turns a
punch into the documented body. `sender` posts it until it is acknowledged, `progress` saves the position, and `push`
combines all of them. It needs neither a store nor any other process of the relay, so it may run beside the device's
software.
"""
