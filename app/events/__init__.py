"""The flat events: their types, how they are made from a callback's facts, and when two are the same."""
