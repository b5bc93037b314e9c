"""The progress bar of a run, and the lines above it, on stderr."""

import sys
import time

LOSS_NAMES = {"mlm": "masked words", "sop": "sentence order"}  # what the bar calls a loss term


class Progress:
    """A bar that is full when the run's tokens are, where the batches differ in size; otherwise it
    counts steps.

    plan: the run's Plan.  shown: False on all processes but the first.
    """

    def __init__(self, plan, done, shown=True):
        from tqdm import tqdm

        self.plan = plan
        self.counts_steps = plan.tokens(plan.total_steps) == plan.total_steps
        self.begun_at = plan.tokens(done)
        self.begun = time.perf_counter()
        self.words = ""  # how the last steps went
        self.bar = tqdm(
            desc=self._where(done),
            total=plan.tokens(plan.total_steps),
            initial=self.begun_at,
            bar_format="{desc} |{bar}| {elapsed}{postfix}",
            disable=not shown,
            mininterval=0.5 if sys.stderr.isatty() else 60,
        )

    def advance(self, done):
        """Move to the step that is done."""
        self.bar.set_description_str(self._where(done), refresh=False)
        self.bar.set_postfix_str(self._left(done) + self.words, refresh=False)
        self.bar.update(self.plan.tokens(done) - self.bar.n)

    def tell(self, losses, tokens_per_second):
        """How the last steps went.  losses: {term: mean}, of which the first is shown."""
        term, loss = next(iter(losses.items()))
        name = f"{LOSS_NAMES[term]} {loss:.3f} (loss)" if term in LOSS_NAMES else f"loss {loss:.3f}"
        self.words = f", {name}, {tokens_per_second:,.0f} tokens/s"

    def close(self):
        """Leave the bar as it is on the screen."""
        self.bar.close()

    def _where(self, done):
        """How much is done, in words that agree with the bar."""
        part, whole = self.plan.tokens(done), self.plan.tokens(self.plan.total_steps)
        percent = f"{100 * part / whole:3.0f}%"
        of_what = "" if self.counts_steps else " of the tokens"
        return f"step {done}/{self.plan.total_steps}, {percent}{of_what}"

    def _left(self, done):
        """The time left, by the mean rate since the run was started or resumed: a rate of the last
        few steps would swing with the length of their sequences.
        """
        now, end = self.plan.tokens(done), self.plan.tokens(self.plan.total_steps)
        seconds = (time.perf_counter() - self.begun) * (end - now) / (now - self.begun_at)
        return f"{self.bar.format_interval(seconds)} left"


def say(text):
    """Print a line above the progress bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
