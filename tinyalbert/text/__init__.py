"""From text to token ids: sentences, vocabulary, tokenizer, encoding."""
