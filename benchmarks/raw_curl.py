"""`python -m benchmarks.raw_curl URL COUNT BYTES CONCURRENCY`: POSTs with libcurl, and prints the rate per second."""

from __future__ import annotations

import sys
import time

import pycurl


def main() -> None:
    url, (count, size, at_once) = sys.argv[1], map(int, sys.argv[2:])
    body = b'{"x":"%s"}' % (b"x" * (size - 8))
    multi = pycurl.CurlMulti()
    idle = []
    for _ in range(at_once):
        handle = pycurl.Curl()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.COPYPOSTFIELDS, body)
        handle.setopt(pycurl.HTTPHEADER, ["content-type: application/json", "expect:"])
        handle.setopt(pycurl.WRITEFUNCTION, lambda _: None)
        idle.append(handle)
    left = done = 0
    began = time.perf_counter()
    while done < count:
        while idle and left < count:
            multi.add_handle(idle.pop())
            left += 1
        multi.perform()
        while True:
            waiting, finished, failed = multi.info_read()
            if failed:
                raise SystemExit(f"failed: {failed[0][2]}")
            for handle in finished:
                if handle.getinfo(pycurl.RESPONSE_CODE) != 200:
                    raise SystemExit("an answer was not 200")
                multi.remove_handle(handle)
                idle.append(handle)
            done += len(finished)
            if not waiting:
                break
        multi.select(0.1)
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
