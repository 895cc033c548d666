"""`make bench`: measures throughput and latency of the relay and its baselines in one run."""
