"""The relay's settings: all environment variables, and the functions that read their values."""
