"""People's days and the list of employees: pure rules, no I/O."""
