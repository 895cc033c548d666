"""The deliveries of one shard: fan-out, attempts, their pace, and saving their results."""
