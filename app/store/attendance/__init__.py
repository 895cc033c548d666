"""The index behind attendance, the days that are read from it, and changed days."""
