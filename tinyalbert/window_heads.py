"""One label for a text that is read in windows: learned attention over them.

    u_i    = w . tanh(W h_i + b)          how much window i tells
    a      = softmax(u)                   over the windows of a text
    logits = sum_i a_i (C h_i + c)        = C (sum_i a_i h_i) + c

h_i is the pooled vector of window i, as that of a whole text is elsewhere (Yang et al. 2016,
"Hierarchical Attention Networks for Document Classification", equations 8 to 10).
"""

from . import ops
from .heads import AlbertForSequenceClassification, flat
from .nn import Linear


class AlbertForWindowClassification(AlbertForSequenceClassification):
    """One label, several labels or one number for each text of N windows."""

    def build_head(self, rng, config):
        super().build_head(rng, config)
        H = config.hidden_size
        self.window_dense = Linear(rng, H, H, config.initializer_range)
        self.window_score = Linear(rng, H, 1, config.initializer_range)

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        weights=None,
        rng=None,
        **options,
    ):
        """input_ids (B, N, T); labels and weights as those of a text.

        Returns loss, logits (B, num_labels), and of each window its window_logits (B, N,
        num_labels) and its window_scores (B, N), the u above.
        """
        inputs = (input_ids, attention_mask, token_type_ids)
        inputs, (B, N), rng = flat(inputs, ("texts", "windows", "tokens"), rng)
        labels = super().as_labels((B,), labels, weights)
        return self.run(inputs, labels, rng, options, windows=N)

    def as_labels(self, shape, **labels):
        return labels

    def head(self, out, rng, labels=None, weights=None, windows=1):
        """Pooled vectors (B * N, H) to logits (B, C) for C labels, and loss."""
        pooled = self.dropout(out.pooler_output, rng)  # (R, H)
        each = self.classifier(pooled).reshape(-1, windows, self.config.num_labels)  # (B, N, C)
        scores = self.window_score(ops.tanh(self.window_dense(pooled)))  # (R, 1)
        scores = scores.reshape(-1, windows)  # (B, N)
        share = ops.softmax(scores).reshape(-1, windows, 1)  # (B, N, 1)
        answer = self.answer(out, (each * share).sum(axis=1), labels, weights)
        answer.window_logits = each
        answer.window_scores = scores
        return answer
