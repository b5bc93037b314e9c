"""The loop around `Trainer.step`: evaluation, log, checkpoints, resuming, a clean end on Ctrl-C."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from ..errors import UserError
from .averaging import WeightAverage
from .checkpoints import Checkpoints
from .data import as_training_data
from .log import Log
from .plan import evaluated, hardly_moves, plan_run, steps_for_minutes
from .progress import say
from .run import Run, new_state, run_settings
from .stopping import Interrupted, any_process, stop_signals


def train(
    trainer,
    data,
    steps=None,
    evaluate=None,
    output_dir=None,
    *,
    minutes=None,
    eval_every=None,
    save_every=None,
    log_every=10,
    best=None,
    patience=None,
    average=1,
    resume=False,
    tokenizer=None,
    untrained=None,
    facts=None,
    watch=None,
    begin=None,
    finish=None,
    progress=True,
):
    """Train to step `steps`, or for about `minutes`; returns the last evaluation's metrics.

    data: TrainingData, or a function step -> batch, which must depend on nothing but the step; of
        several processes each gives its own rows.  Batches are drawn one ahead, in a thread.
    evaluate: function (model, replicas) -> {metric: number}; called before the first step, every
        `eval_every` steps and at the end.
    output_dir: gets the model, log.jsonl, and last/, from which resume=True goes on.
    minutes: the first batches are timed, which fixes the number of steps once and for all.
    best: the metric by which the kept model is chosen (of a loss or an error the lowest value),
        None for the last model.  Only values with the same metric max_seq_length, if any, are
        compared.
    patience: the run ends after so many evaluations in a row without a better value of `best`.
    average: what is evaluated and kept is the mean of the weights at so many last evaluations.
    tokenizer: saved with the model.
    untrained: what `evaluate` says of the model before training, if that is known already.
    facts: {name: value} for the first line of the log.
    watch: a Watch (run.py), which may comment on the metrics of a run.
    begin: called once it is sure that the run starts, or goes on: for its settings file.
    finish: called with the last evaluation's metrics once the kept model is in memory, for what
        is made of it; a run that dies before this is done does it again when it is resumed.
    """
    data = as_training_data(data)
    shown = progress and trainer.ranks.rank == 0
    mean = WeightAverage(trainer.model, average) if average > 1 else None
    checkpoints = Checkpoints(output_dir, trainer, tokenizer, mean)
    log = Log(checkpoints.folder, checkpoints.writes)
    with checkpoints.folder_taken():
        if resume:
            steps, state = resumed(trainer, checkpoints, log, steps, patience, shown)
        else:
            checkpoints.begin()
        if begin:
            begin()
        if not resume:
            log.begin()
            state = new_state()
            if minutes and not steps:
                fitted = fitted_steps(trainer, data, minutes, evaluate, eval_every, shown)
                steps, untrained = fitted.steps, fitted.untrained
                state["eval_every"] = fitted.eval_every
            elif untrained is None:
                untrained = evaluated(trainer, evaluate)
        steps = steps or trainer.total_steps
        eval_every = eval_every or state["eval_every"]
        plan = plan_run(trainer, data, steps, eval_every, save_every, log_every, patience)
        if not resume:
            log_start(log, trainer, plan, facts or {}, untrained)
        run = Run(trainer, plan, evaluate, checkpoints, log, best, state, watch, shown)
        if hardly_moves(trainer, plan):
            run.say(hardly_moves(trainer, plan))
        take_steps(run, data)
        return run.finish(finish)


def resumed(trainer, checkpoints, log, steps, patience, shown):
    """(steps, state) of the run in the output folder, whose last checkpoint is loaded."""
    settings, saved = checkpoints.load()
    state = {**new_state(), **saved}
    steps = steps or settings["total_steps"]
    refuse_complete(checkpoints, steps, log)
    refuse_given_up(checkpoints, state["unimproved"], patience, log)
    log.resume(trainer.steps_done, state["seconds"], state["log_lines"])
    if shown:
        say_differences(run_settings(trainer, steps), settings)
    return steps, state


def fitted_steps(trainer, data, minutes, evaluate, eval_every, shown):
    """The FittedSteps of a run of some minutes, and what is said of them."""
    if shown:
        say("measuring how long a step takes, which fixes the number of steps")
    fitted = steps_for_minutes(trainer, data, minutes, evaluate, eval_every)
    if shown:
        say(str(fitted))
    return fitted


def take_steps(run, data):
    """All steps of a run that are left, with its evaluations and checkpoints."""
    trainer, plan = run.trainer, run.plan
    batches = prefetched(data.batch, trainer.steps_done, plan.total_steps)
    with run.active(), contextlib.closing(batches), stop_signals() as received:
        if trainer.steps_done % plan.eval_every == 0:
            run.evaluate()  # one that an interruption put off
        for batch in batches:
            if run.gives_up:
                run.note(why_it_ends(run))
                break
            metrics = trainer.step(batch, lr=plan.lr(trainer.steps_done))
            run.record(metrics)
            done = trainer.steps_done
            stop = any_process(trainer.ranks, received) and done < plan.total_steps
            if plan.evaluates_at(done) and not stop:
                run.evaluate()
            ends = stop or run.gives_up or done == plan.total_steps
            if plan.saves_at(done) or ends:
                run.save(last_chance=ends)
            if stop:
                raise Interrupted(how_to_go_on(run.checkpoints, done, plan.total_steps), received)


def why_it_ends(run):
    """What a run says that ends before its last step."""
    best = run.state["best"]
    reached = "was no number" if best is None else f"got no better than {best:.4g}"
    return (
        f"ends at step {run.trainer.steps_done} of {run.plan.total_steps}: {run.best} {reached} in "
        f"the last {_evaluations(run.state['unimproved'])}"
    )


def _evaluations(count):
    return "evaluation" if count == 1 else f"{count} evaluations"


def prefetched(draw, first, last):
    """draw(first), ..., draw(last - 1); the next is drawn in a thread while the last is in use."""
    if first == last:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as drawer:
        coming = drawer.submit(draw, first)
        for step in range(first, last):
            batch = coming.result()
            coming = drawer.submit(draw, step + 1) if step + 1 < last else None
            yield batch


def log_start(log, trainer, plan, facts, untrained):
    """The first lines of the log: what is trained and how, and how good the untrained model is."""
    log.add(
        "start",
        trainer.steps_done,
        vocab_size=trainer.model.config.vocab_size,
        parameters=trainer.model.num_parameters(),
        **facts,
        **run_settings(trainer, plan.total_steps),
    )
    if untrained:
        log.add("eval", trainer.steps_done, **untrained)


def refuse_complete(checkpoints, steps, log):
    """Refuse to resume a run that has no steps left, unless its end is still to be made."""
    done = checkpoints.trainer.steps_done
    if done > steps or (done == steps and log.ended(done)):
        raise UserError(
            f"the run in {checkpoints.folder} is complete ({done} steps); ask for more steps, or "
            "start another run in another folder"
        )


def refuse_given_up(checkpoints, unimproved, patience, log):
    """Refuse to resume a run that ended early, unless it is to be more patient.

    unimproved: evaluations since the best one.
    """
    done = checkpoints.trainer.steps_done
    if patience is not None and unimproved >= patience and log.ended(done):
        raise UserError(
            f"the run in {checkpoints.folder} ended at step {done}, since it was asked for a "
            f"patience of {patience}; to go on give it more (--patience {2 * unimproved}), or "
            "start another run in another folder"
        )


def say_differences(settings, saved):
    """Say which settings are not those that the run was begun with."""
    for name, now in settings.items():
        if now != saved.get(name, now):
            say(f"resumed with {name} {now}; the run had {saved[name]}")


def how_to_go_on(checkpoints, done, total_steps):
    """What an interrupted run says last."""
    if checkpoints.folder:
        advice = f"saved in {checkpoints.last}, the same command with --resume goes on from there"
    else:
        advice = "nothing was saved, since no output folder was given"
    return f"stopped at step {done} of {total_steps}; {advice}"
