"""For processes under faketime, which makes Python's own `time.sleep` fail (clock_nanosleep to a moment: EINVAL)."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
