"""For processes under faketime, in which Python's `time.sleep` fails (clock_nanosleep returns EINVAL)."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
