"""ALBERT, whole, in NumPy."""
