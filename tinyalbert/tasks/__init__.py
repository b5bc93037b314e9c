"""One file per task: examples -> features -> head -> metric -> predictions."""
