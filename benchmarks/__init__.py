"""`make bench`: what the relay does a second and how long it takes, beside its baselines, in one run."""
