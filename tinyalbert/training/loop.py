"""The loop around `Trainer.step`: evaluation, log, checkpoints, resuming, a clean end on Ctrl-C."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..backend import to_host
from ..errors import UserError
from .run import Interrupted, Run, stop_signals


def train(
    trainer,
    batch_at,
    steps=None,
    evaluate=None,
    output_dir=None,
    *,
    minutes=None,
    eval_every=None,
    save_every=None,
    log_every=10,
    best=None,
    resume=False,
    tokenizer=None,
    unigram_entropy=None,
    progress=True,
):
    """Train to step `steps` (or for about `minutes`) on batch_at(step); returns the last
    evaluation's metrics.

    batch_at(step) -> batch (of several processes, each gives its own rows) must depend on nothing
    but `step`; batches are drawn one ahead, in a thread.  Where batches differ in size,
    batch_at.tokens(step) says how many tokens the first `step` of them hold, for the bar, and
    batch_at.kinds what there are, for minutes=. evaluate(model, replicas) -> {metric: number} is
    called before the first step, every `eval_every` steps and at the end.  In output_dir: the model
    with the best value of the metric `best` ("...loss": the lower the better; only values with the
    same metric max_seq_length, if evaluate gives it, are compared), or the last one if `best` is
    None; log.jsonl; and last/, from which resume=True goes on. minutes: the first batches are
    timed, which fixes the number of steps once and for all."""
    run = Run(trainer, evaluate, output_dir, best, log_every, tokenizer, unigram_entropy, progress)
    if resume:
        run.restore(steps)
    else:
        untrained = run.begin()
        if minutes and not steps:
            steps = plan_steps(
                trainer, batch_at, 60 * minutes - run.seconds(), run.evaluation_seconds, eval_every
            )
        trainer.total_steps = steps or trainer.total_steps
        if not trainer.total_steps or trainer.total_steps <= trainer.steps_done:
            raise UserError(
                f"{trainer.total_steps} steps to train, {trainer.steps_done} done; expected steps= "
                f"above "
                "that, or minutes="
            )
        run.log_start(untrained)
    total = trainer.total_steps
    eval_every = eval_every or -(-total // 10)
    save_every = save_every or eval_every
    batches = prefetched(batch_at, trainer.steps_done, total)
    with (
        contextlib.closing(batches),
        run.display(getattr(batch_at, "tokens", int)),
        stop_signals() as received,
    ):
        if trainer.steps_done % eval_every == 0:
            run.evaluate()  # one that an interruption put off
        for batch in batches:
            run.record(trainer.step(batch))
            done = trainer.steps_done
            stop = run.anywhere(received) and done < total
            if done == total or (done % eval_every == 0 and not stop):
                run.evaluate()
            if done == total or done % save_every == 0 or stop:
                run.save()
            if stop:
                raise Interrupted(
                    f"stopped at step {done} of {total}; "
                    + (
                        f"saved in {run.last}, the same command with --resume goes on from there"
                        if output_dir
                        else "nothing was saved, since no output folder was given"
                    )
                )
    return run.finish()


def plan_steps(trainer, batch_at, seconds, evaluation_seconds, eval_every):
    """How many steps fit into `seconds`: the gradients of the first batches are timed and thrown
    away.

    Nothing is changed by it, so the number can be fixed before the first step, as the schedule
    needs it."""
    begun, step_time = time.perf_counter(), 0.0
    kinds = getattr(
        batch_at, "kinds", [(1.0, batch_at)]
    )  # of batches, each with its share of the steps
    trainer.model.train()
    for share, draw in kinds:
        times = []
        for step in range(21):
            batch, start = draw(step), time.perf_counter()
            totals, _, first_row = trainer._totals(batch)
            to_host(trainer._accumulate(batch, totals, first_row))  # waits for a GPU
            times.append(time.perf_counter() - start)
            slow = step >= 3 and sum(times) > 0.03 * seconds / len(kinds)
            enough = np.array([float(trainer.ranks.rank == 0 and slow)])
            trainer.ranks.all_reduce(enough)  # all processes stop together
            if enough[0]:
                break
        step_time += 1.03 * share * float(np.median(times[1:]))  # the update takes about 3 % more
    left = seconds - (time.perf_counter() - begun)
    if eval_every:
        steps = left / (step_time + evaluation_seconds / eval_every)
    else:
        steps = (left - 10 * evaluation_seconds) / step_time
    agreed = np.array([max(1.0, steps) if trainer.ranks.rank == 0 else 0.0])
    trainer.ranks.all_reduce(agreed)
    return int(agreed[0])


def prefetched(batch_at, first, last):
    """batch_at(first), ..., batch_at(last - 1); the next one is drawn in a thread while the last is
    in use.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as drawer:
        coming = drawer.submit(batch_at, first)
        for step in range(first, last):
            batch = coming.result()
            coming = drawer.submit(batch_at, step + 1) if step + 1 < last else None
            yield batch
