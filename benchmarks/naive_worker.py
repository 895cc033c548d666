"""The RQ worker of the naive baseline. It doesn't fork for each job, which is RQ's fastest mode."""

from rq import SimpleWorker

from benchmarks.naive import make_queue

if __name__ == "__main__":
    queue = make_queue()
    SimpleWorker([queue], connection=queue.connection).work(logging_level="ERROR")
