"""The store as a whole: backups, changes of the secret key, samples of the counters."""
