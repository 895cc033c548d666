"""Lets these tests run by themselves, from wherever and in whatever import mode pytest is started."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1])]
