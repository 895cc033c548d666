"""The marshmallow schemas of request bodies."""
