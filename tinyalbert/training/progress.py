"""The progress bar of a run, and the lines above it, on stderr."""

import contextlib
import sys
import time

LOSS_NAMES = {"mlm": "masked words", "sop": "sentence order"}  # what a person calls a loss term


class Progress:
    """A progress bar that counts tokens where the batches differ in size, otherwise steps.

    Where nobody can read it any more, as on a terminal that was closed, there is no bar.
    plan: the run's Plan.  shown: False on all processes but the first.
    """

    def __init__(self, plan, done, shown=True):
        from tqdm import tqdm

        self.plan = plan
        self.whole = plan.tokens(plan.total_steps)
        self.first = plan.tokens(done)  # that were there before this start
        self.of_what = "" if self.whole == plan.total_steps else " of the tokens"
        self.begun = time.perf_counter()
        self.words = ""  # how the last steps went
        self.bar = tqdm(disable=True)
        with _unread():
            self.bar = tqdm(
                desc=self._where(done, self.first),
                total=self.whole,
                initial=self.first,
                bar_format="{desc} |{bar}| {elapsed}{postfix}",
                disable=not shown,
                mininterval=0.5 if sys.stderr.isatty() else 60,
            )

    def advance(self, done):
        """Move to the step that is done."""
        if self.bar.disable:
            return
        tokens = self.plan.tokens(done)
        self.bar.set_description_str(self._where(done, tokens), refresh=False)
        self.bar.set_postfix_str(self._left(tokens) + self.words, refresh=False)
        with _unread():
            self.bar.update(tokens - self.bar.n)

    def tell(self, losses, tokens_per_second):
        """How the last steps went.  losses: {term: mean}, of which the first is shown."""
        term, loss = next(iter(losses.items()))
        name = f"{LOSS_NAMES[term]} {loss:.3f} (loss)" if term in LOSS_NAMES else f"loss {loss:.3f}"
        self.words = f", {name}, {tokens_per_second:,.0f} tokens/s"

    def close(self):
        """Leave the bar as it is on the screen."""
        with _unread():
            self.bar.close()

    def _where(self, done, tokens):
        """How much is done, in words that agree with the bar."""
        percent = f"{100 * tokens / self.whole:3.0f}%"
        return f"step {done}/{self.plan.total_steps}, {percent}{self.of_what}"

    def _left(self, tokens):
        """The time left, by the mean rate since the run was started or resumed.

        The rate of the last few steps would swing with the length of their sequences.
        """
        seconds_per_token = (time.perf_counter() - self.begun) / (tokens - self.first)
        return f"{self.bar.format_interval(seconds_per_token * (self.whole - tokens))} left"


def in_words(metrics):
    """The metrics of an evaluation for a person to read.

    Loss terms of pretraining are told in words, each with its share of right answers; any other
    metric has its own name.  All of them are in log.jsonl.
    """
    told = []
    left = dict(metrics)
    for term, words in LOSS_NAMES.items():
        if f"{term}_loss" in left and f"{term}_accuracy" in left:
            right = left.pop(f"{term}_accuracy")
            loss = left.pop(f"{term}_loss")
            told.append(f"{words} {right:.1%} right (loss {loss:.3f})")
    if told:
        length = left.get("max_seq_length")
        return ", ".join(told) + (f", in sequences of {length:.0f} tokens" if length else "")
    return ", ".join(f"{name} {value:.4g}" for name, value in left.items())


def say(text):
    """Print a line above the progress bar, if there is one and somebody can read it."""
    from tqdm import tqdm

    with _unread():
        tqdm.write(text, file=sys.stderr)


def _unread():
    """Context in which it is no error that what is shown goes nowhere: full, closed, hung up."""
    return contextlib.suppress(OSError, ValueError, AttributeError)
