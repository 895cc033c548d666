"""Bodies of requests, as marshmallow schemas."""
