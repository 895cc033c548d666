"""RQ's jobs, the process that runs them, and the thread for attendance and alerts."""
