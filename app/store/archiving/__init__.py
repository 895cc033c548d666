"""The archive of this store: writing it from the streams of events, and reading it where the store has no more."""
