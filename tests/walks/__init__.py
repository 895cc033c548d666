"""Walk-throughs of the pages in docs/develop, each on a copy of the tree.

`scripts/walk-through NAME` shows a walk step by step; `tests/docs/test_walk_throughs.py` runs them all.
"""
