"""The built-in corpus: stories from an invented world, and labelled rows for every task."""
