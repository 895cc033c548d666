"""The other baseline: what is written in an afternoon. Flask puts an RQ job, the job calls `requests.post`."""

from __future__ import annotations

import os

import requests
from flask import Flask, Response, request
from rq import Queue

app = Flask(__name__)


def deliver(url: str, body: bytes) -> int:
    """The job."""
    return requests.post(url, data=body, timeout=15).status_code


def make_queue() -> Queue:
    """RQ on the store that the benchmark gives."""
    import redis

    return Queue("naive", connection=redis.Redis(unix_socket_path=os.environ["BENCH_SOCKET"]))


_queue: Queue | None = None


@app.post("/callback")
def callback() -> Response:
    """Puts the job and answers."""
    global _queue
    _queue = _queue or make_queue()
    _queue.enqueue(deliver, os.environ["BENCH_TARGET"], request.get_data(), result_ttl=0)
    return Response(b'{"status":"done"}', content_type="application/json")
