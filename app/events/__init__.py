"""The flat events: their types, how facts of a callback become them, and what makes two the same."""
