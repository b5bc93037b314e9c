"""Pretraining data: corpora, token shards, segment pairs, sentence order, n-gram masks, batches."""
