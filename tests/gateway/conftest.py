"""Makes these tests runnable alone, from any folder and with any import mode of pytest."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1])]
