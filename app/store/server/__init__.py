"""The store's server: connections, the embedded server, and the layout of keys."""
