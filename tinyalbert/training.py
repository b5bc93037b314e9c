"""Training: `Trainer.step` is one optimiser step, `train` the loop around it.

`Trainer.step` is the whole of it: accumulate -> reduce -> clip -> step.  A batch may be cut into micro-batches
(accumulation), threads and processes; every mean loss is weighted by the number of its targets, so the result
is that of the whole batch in one piece, to rounding.  `train` adds what a run needs: evaluation, log, progress
bar, checkpoints, resuming, a clean end on Ctrl-C.  The batch of a step, its dropout and its learning rate are
functions of (seed, step), so a resumed run is the uninterrupted one.  Taught in lessons 12 to 14.
"""

import contextlib
import functools
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import ops
from .backend import UserError, keep_freed_memory, to_host, xp_of
from .heads import IGNORE
from .nn import DropoutRng
from .optim import LAMB, AdamW, clip_by_global_norm, google_schedule, linear_warmup_decay
from .parallel import GradientSum, Single, Threads, batch_size, split
from .precision import Precision, check_precision
from .run import Interrupted, Run, StepMetrics, fetch, stop_signals
from .tensor import backward, no_grad

OPTIMIZERS = {"adamw": AdamW, "lamb": LAMB}
SCHEDULES = {"linear": linear_warmup_decay, "google": google_schedule,
             "constant": lambda step, peak, warmup, total: peak * min(1.0, (step + 1) / max(warmup, 1))}


class Trainer:
    """A model and what changes it: optimiser, schedule, replicas.

    optimizer: "adamw", "lamb" or an optimiser object.  lr: the peak, by default the object's, or 1e-3.
    warmup: steps, or a share of total_steps if below 1.  schedule: "linear" decay to 0 after the warm-up,
    "google" (google-research/albert, with its jump), "constant", or a function of the step; without
    total_steps the rate is constant.  clip: largest global gradient norm, None for no limit.
    accumulation: micro-batches of a batch, worked on one after the other.  threads: None is one a core.
    precision: "fp32", or on a GPU also "tf32", "fp16", "bf16", of which precision.py tells.
    """

    def __init__(self, model, optimizer=None, lr=None, total_steps=None, warmup=0.06, schedule="linear", clip=1.0,
                 accumulation=1, threads=None, seed=0, ranks=None, precision="fp32"):
        if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
            raise UserError(f"optimizer {optimizer!r} is unknown; wanted one of {', '.join(OPTIMIZERS)}")
        if not callable(schedule) and schedule not in SCHEDULES:
            raise UserError(f"schedule {schedule!r} is unknown; wanted one of {', '.join(SCHEDULES)} or a function")
        lr = getattr(optimizer, "lr", 1e-3) if lr is None else lr
        for name, value in (("lr", lr), ("accumulation", accumulation), ("clip", clip or 1.0)):
            if not value > 0:
                raise UserError(f"{name} is {value}; wanted a number above 0")
        self.precision = Precision(check_precision(precision, model.device()), model.named_parameters())
        self.model, self.lr, self.warmup, self.schedule, self.seed = model, lr, warmup, schedule, seed
        self.total_steps, self.accumulation, self.clip = total_steps, accumulation, clip or math.inf
        if optimizer is None or isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer or "adamw"](list(model.named_parameters()), lr)
        self.optimizer = optimizer
        self.ranks, self.replicas = ranks or Single(), Threads(1 if model.device() == "gpu" else threads)
        self.gradients = GradientSum(model.named_parameters())
        self.steps_done = 0
        keep_freed_memory()                      # each step asks for the arrays that the last one let go

    def step(self, batch):
        """One optimiser step on `batch`, this process's rows of the global batch; returns its metrics."""
        self.model.train()
        totals, tokens, first_row = self._totals(batch)
        losses = self._accumulate(batch, totals, first_row)
        gradients = self.gradients.reduced(self.ranks)
        lr, xp, scale = self.lr_at(self.steps_done), xp_of(losses), self.precision.loss_scale
        norm = clip_by_global_norm(gradients if xp is np else {"all": self.gradients.flat}, self.clip,   # one launch
                                   scale and scale.value)
        numbers = [losses, xp.asarray(norm).reshape(1), *([scale.value.reshape(1)] if scale else [])]
        metrics = StepMetrics(self.steps_done + 1, list(totals), xp.concatenate(numbers), lr, tokens)
        if xp is np:
            fetch([metrics])                     # refuses before the step; looking at a GPU would mean waiting
        self.optimizer.step(gradients, lr=lr, **({"finite": scale.update(norm)} if scale else {}))
        self.steps_done += 1
        return metrics

    def _accumulate(self, batch, totals, first_row):
        """Sum the gradients of all parts of the batch in self.gradients; returns the mean losses (terms,)."""
        self.gradients.clear()
        losses = 0.0
        with self.precision.active():
            for micro_batch, row in split(batch, self.accumulation, first_row):
                parts = split(micro_batch, self.replicas.n, row)
                results = self.replicas.run(functools.partial(self._forward_backward, totals), parts)
                self.gradients.add([gradients for _, gradients in results], self.replicas)
                losses = losses + sum(part_losses for part_losses, _ in results)
        self.ranks.all_reduce(losses)
        return losses

    def _forward_backward(self, totals, part):
        """This part's share of each mean loss, and the gradients of their sum."""
        batch, first_row = part
        counts = self.model.loss_counts(**batch)
        shares = {name: counts[name] / totals[name] if totals[name] else 0.0 for name in totals}
        losses = self.model(**batch, rng=DropoutRng((self.seed, self.steps_done), first_row)).losses
        terms = [losses[name] * share for name, share in shares.items() if share]
        scale = self.precision.loss_scale        # the gradients are those of the losses times this
        gradients = backward(functools.reduce(ops.add, terms), scale and scale.value) if terms else {}
        values = [losses[name].data.astype(np.float64) * share for name, share in shares.items()]
        return xp_of(*values).stack(values), gradients

    def _totals(self, batch):
        """({loss term: targets}, tokens) of the global batch, and the global number of this process's first row."""
        counts, ranks = self.model.loss_counts(**batch), self.ranks
        if not counts:
            raise UserError(f"a batch of {', '.join(batch)} has nothing to learn from; it needs labels")
        tokens = batch["attention_mask"].sum() if "attention_mask" in batch else np.size(batch["input_ids"])
        sums = np.zeros(len(counts) + 1 + ranks.size)
        sums[:len(counts) + 1] = *counts.values(), int(tokens)
        sums[len(counts) + 1 + ranks.rank] = batch_size(batch)
        ranks.all_reduce(sums)
        *totals, tokens = sums[:len(counts) + 1].astype(int).tolist()
        rows = sums[len(counts) + 1:]
        return dict(zip(counts, totals)), tokens, int(rows[:ranks.rank].sum())

    def lr_at(self, step):
        """The learning rate of step `step`, counted from 0."""
        if callable(self.schedule):
            return self.schedule(step)
        schedule = SCHEDULES[self.schedule if self.total_steps else "constant"]
        return schedule(step, self.lr, self.warmup_steps, self.total_steps)

    @property
    def warmup_steps(self):
        """The warm-up in steps."""
        return round(self.warmup * (self.total_steps or 0)) if self.warmup < 1 else int(self.warmup)

    def settings(self):
        """What a resumed run should share with the run that it continues."""
        return {"optimizer": type(self.optimizer).__name__, "lr": self.lr, "total_steps": self.total_steps,
                "warmup": self.warmup, "schedule": getattr(self.schedule, "__name__", self.schedule),
                "clip": None if self.clip == math.inf else self.clip, "accumulation": self.accumulation,
                "seed": self.seed, "threads": self.replicas.n, "ranks": self.ranks.size,
                "precision": self.precision.name}


def train(trainer, batch_at, steps=None, evaluate=None, output_dir=None, *, minutes=None, eval_every=None,
          save_every=None, log_every=10, best=None, resume=False, tokenizer=None, unigram_entropy=None, progress=True):
    """Train to step `steps` (or for about `minutes`) on batch_at(step); returns the last evaluation's metrics.

    batch_at(step) -> batch (of several processes, each gives its own rows) must depend on nothing but `step`;
    batches are drawn one ahead, in a thread.  Where batches differ in size, batch_at.tokens(step) says how many tokens
    the first `step` of them hold, for the bar, and batch_at.kinds what there are, for minutes=.
    evaluate(model, replicas) -> {metric: number} is called before the first step, every `eval_every` steps
    and at the end.  In output_dir: the model with the best value of the metric `best` ("...loss": the lower
    the better; only values with the same metric max_seq_length, if evaluate gives it, are compared), or the last
    one if `best` is None; log.jsonl; and last/, from which resume=True goes on.
    minutes: the first batches are timed, which fixes the number of steps once and for all.
    """
    run = Run(trainer, evaluate, output_dir, best, log_every, tokenizer, unigram_entropy, progress)
    if resume:
        run.restore(steps)
    else:
        untrained = run.begin()
        if minutes and not steps:
            steps = plan_steps(trainer, batch_at, 60 * minutes - run.seconds(), run.evaluation_seconds, eval_every)
        trainer.total_steps = steps or trainer.total_steps
        if not trainer.total_steps or trainer.total_steps <= trainer.steps_done:
            raise UserError(f"{trainer.total_steps} steps to train, {trainer.steps_done} done; wanted steps= above "
                            "that, or minutes=")
        run.log_start(untrained)
    total = trainer.total_steps
    eval_every = eval_every or -(-total // 10)
    save_every = save_every or eval_every
    batches = prefetched(batch_at, trainer.steps_done, total)
    with contextlib.closing(batches), run.display(getattr(batch_at, "tokens", int)), stop_signals() as received:
        if trainer.steps_done % eval_every == 0:
            run.evaluate()                       # one that an interruption put off
        for batch in batches:
            run.record(trainer.step(batch))
            done = trainer.steps_done
            stop = run.anywhere(received) and done < total
            if done == total or (done % eval_every == 0 and not stop):
                run.evaluate()
            if done == total or done % save_every == 0 or stop:
                run.save()
            if stop:
                raise Interrupted(f"stopped at step {done} of {total}; " + (
                    f"saved in {run.last}, the same command with --resume goes on from there" if output_dir else
                    "nothing was saved, since no output folder was given"))
    return run.finish()


def plan_steps(trainer, batch_at, seconds, evaluation_seconds, eval_every):
    """How many steps fit into `seconds`: the gradients of the first batches are timed and thrown away.

    Nothing is changed by it, so the number can be fixed before the first step, as the schedule needs it.
    """
    begun, step_time = time.perf_counter(), 0.0
    kinds = getattr(batch_at, "kinds", [(1.0, batch_at)])      # of batches, each with its share of the steps
    trainer.model.train()
    for share, draw in kinds:
        times = []
        for step in range(21):
            batch, start = draw(step), time.perf_counter()
            totals, _, first_row = trainer._totals(batch)
            to_host(trainer._accumulate(batch, totals, first_row))         # waits for a GPU
            times.append(time.perf_counter() - start)
            slow = step >= 3 and sum(times) > 0.03 * seconds / len(kinds)
            enough = np.array([float(trainer.ranks.rank == 0 and slow)])
            trainer.ranks.all_reduce(enough)     # all processes stop together
            if enough[0]:
                break
        step_time += 1.03 * share * float(np.median(times[1:]))            # the update takes about 3 % more
    left = seconds - (time.perf_counter() - begun)
    if eval_every:
        steps = left / (step_time + evaluation_seconds / eval_every)
    else:
        steps = (left - 10 * evaluation_seconds) / step_time
    agreed = np.array([max(1.0, steps) if trainer.ranks.rank == 0 else 0.0])
    trainer.ranks.all_reduce(agreed)
    return int(agreed[0])


def prefetched(batch_at, first, last):
    """batch_at(first), ..., batch_at(last - 1); the next one is drawn in a thread while the last is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as drawer:
        coming = drawer.submit(batch_at, first)
        for step in range(first, last):
            batch = coming.result()
            coming = drawer.submit(batch_at, step + 1) if step + 1 < last else None
            yield batch


def evaluate_pretraining(model, batches, replicas=None, ranks=None, rows=32):
    """{"mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy"} of held-out batches: means over all targets.

    Scores over the vocabulary are computed at the masked positions only.  Pieces of at most `rows` rows are
    dealt to threads and processes; their sums are added in the order of the batches.
    """
    model.eval()
    replicas, ranks = replicas or Threads(1), ranks or Single()
    pieces = [part for batch in batches for part, _ in split(batch, -(-batch_size(batch) // rows))]
    mine = replicas.run(functools.partial(_pretraining_sums, model), pieces[ranks.rank::ranks.size])
    sums = np.sum([np.zeros(6), *mine], axis=0)
    ranks.all_reduce(sums)
    names = ("mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy")
    totals = np.repeat(sums[4:], 2)
    return {name: float(x / n) for name, x, n in zip(names, sums, totals) if n}


def _pretraining_sums(model, batch):
    """Sums over one batch: word loss, words right, order loss, orders right, words, orders."""
    with no_grad():
        out = model(**batch)
    words, orders = (to_host(batch.get(name, np.zeros(0))) for name in ("labels", "sentence_order_label"))
    answers = {"mlm": (out.target_logits, words[words != IGNORE]), "sop": (out.sop_logits, orders)}
    sums = np.zeros(6)
    for i, name in enumerate(answers):
        if name in out.losses:
            logits, targets = answers[name]
            hits = (to_host(logits.data.argmax(-1)) == targets).sum()
            sums[[2 * i, 2 * i + 1, 4 + i]] = out.losses[name].item() * len(targets), hits, len(targets)
    return sums
