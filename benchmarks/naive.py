"""The second baseline, a relay written in an afternoon: Flask enqueues an RQ job, which calls `requests.post`."""

from __future__ import annotations

import os

import requests
from flask import Flask, Response, request
from rq import Queue

app = Flask(__name__)


def deliver(url: str, body: bytes) -> int:
    """Send a callback to the target. This is the RQ job."""
    return requests.post(url, data=body, timeout=15).status_code


def make_queue() -> Queue:
    """Return the RQ queue in the benchmark's store."""
    import redis

    return Queue("naive", connection=redis.Redis(unix_socket_path=os.environ["BENCH_SOCKET"]))


_queue: Queue | None = None


@app.post("/callback")
def callback() -> Response:
    """Enqueue a job for the callback and respond."""
    global _queue
    _queue = _queue or make_queue()
    _queue.enqueue(deliver, os.environ["BENCH_TARGET"], request.get_data(), result_ttl=0)
    return Response(b'{"status":"done"}', content_type="application/json")
