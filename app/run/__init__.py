"""`cams-relay up` and the supervisor: processes on one machine."""
