"""Watching a pretraining for the plateau where masked words are guessed by frequency alone."""

MARGIN = 0.1  # nats below the unigram entropy: the context is used


class PlateauWatch:
    """A Watch for `train`: explains, once, a masked-word loss stuck at the unigram entropy.

    unigram_entropy: in nats, of the corpus.  warmup_steps: not looked at.
    """

    def __init__(self, unigram_entropy, warmup_steps, total_steps):
        self.unigram_entropy = unigram_entropy
        self.warmup_steps = warmup_steps
        self.patience = max(300, total_steps // 20)  # steps
        self.state = {"since": None, "hinted": False}

    def __call__(self, step, metrics):
        """The explanation if it is due, else None.  metrics: means up to `step`."""
        loss = metrics.get("mlm_loss")
        if loss is None or step <= self.warmup_steps:
            return None
        if loss < self.unigram_entropy - MARGIN:
            self.state["since"] = None
        elif self.state["since"] is None:
            self.state["since"] = step
        elif not self.state["hinted"] and step - self.state["since"] >= self.patience:
            self.state["hinted"] = True
            return (
                f"the masked-word loss has stood near {self.unigram_entropy:.2f}, the unigram "
                f"entropy, since step {self.state['since']}: the model knows how frequent each "
                "word is and does not use the context yet. Every ALBERT rests there for a while. "
                "If it stays: shorter sequences at first (16 to 64 tokens), AdamW with beta2 0.98 "
                "or LAMB, a lower learning rate for wider models"
            )
        return None
