"""A training run: the step, the loop around it, replicas, precision, the record."""
