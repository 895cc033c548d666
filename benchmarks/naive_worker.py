"""The RQ worker of the naive baseline, without a fork a job: RQ at its best."""

from rq import SimpleWorker

from benchmarks.naive import make_queue

if __name__ == "__main__":
    queue = make_queue()
    SimpleWorker([queue], connection=queue.connection).work(logging_level="ERROR")
