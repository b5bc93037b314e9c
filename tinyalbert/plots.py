"""Pictures of a training run and of attention; the only file that needs matplotlib.

Every title says what the picture shows, with the run's own numbers.  Lines differ in dash and width
and are labelled where they end, so that the pictures can be read in grey.  The same log gives the
same bytes.
"""

import math
import os
from pathlib import Path

import numpy as np

from .backend import to_host
from .checks import COUNT, REAL, TEXT, WHOLE, Maybe, checked
from .errors import UserError
from .files.writing import replacing
from .strict_json import loads

MIDDLE, LIGHT = "0.45", "0.7"


def _figure(width, height, **options):
    """A matplotlib Figure without pyplot: no window, no global state."""
    # a notebook names its own way to show pictures here, for all that it starts
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f"pictures need matplotlib, which can't be imported ({error}); "
            "pip install 'tinyalbert[lessons]', or go on without pictures"
        ) from None
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    figure = Figure(figsize=(width, height), layout="constrained", **options)
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    with replacing(path) as file:  # no version: same bytes
        figure.savefig(file, dpi=120, format="png", metadata={"Software": None})
    return Path(path)


LINE = {"kind": TEXT, "step": WHOLE, "vocab_size": Maybe(COUNT), "unigram_entropy": Maybe(REAL)}


def read_log(path):
    """The lines of a log.jsonl as {kind: [line, ...]}; half a last line is dropped.

    path: the file, or the folder of the run.
    """
    path = Path(path)
    path = path / "log.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise UserError(
            f"there is no training log at {path}; expected a run's output folder or its log.jsonl"
        )
    kinds = {"start": [], "train": [], "eval": [], "note": []}
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        where = f"{path}, line {number}"
        try:
            entry = loads(line)
        except ValueError as error:
            raise UserError(f"{where} is not a line of a training log: {error}") from None
        checked(entry, LINE, where)
        if entry["kind"] in ("train", "eval"):
            checked(entry, dict.fromkeys(entry.keys() - LINE, REAL), where)
        kinds.setdefault(entry["kind"], []).append(entry)
    return kinds


def _series(lines, name, x="step"):
    """x and y of the lines that have `name`."""
    lines = [line for line in lines if name in line]
    return np.array([line[x] for line in lines]), np.array([line[name] for line in lines])


def draw_run(folder, say=print):
    """loss.png beside the log of a run; says where, or why not.

    A run is fine without a picture, whatever goes wrong with it.
    """
    try:
        said = f"curves in {plot_run(Path(folder) / 'log.jsonl')}"
    except UserError as problem:
        said = f"no picture: {problem}"
    except Exception as problem:  # of matplotlib, its fonts, settings and cache
        said = f"no picture: matplotlib failed with {type(problem).__name__}: {problem}"
    say(said)


def plot_run(log, path=None):
    """The curves of one run: loss above, right answers below.

    Returns the picture's path (default: loss.png).  For pretraining the loss is that of masked
    words, between two levels: log V, where every piece is equally likely, and the unigram entropy,
    where frequencies are known and the context is not used.
    """
    log = Path(log)
    lines = read_log(log)
    path = path or (log if log.is_dir() else log.parent) / "loss.png"
    if not lines["train"]:
        raise UserError(f"the log of {log} has no training steps yet; train first")
    start = (lines["start"] or [{}])[0]
    pretraining = any("mlm_loss" in line for line in lines["train"])
    name = "mlm_loss" if pretraining else "loss"
    right = _right_answers(lines["eval"], pretraining)
    figure = _figure(7.5, 6.2 if right else 4)
    heights = [3, 2] if right else [1]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_losses(axes[0], lines, name, start if pretraining else {})
    if right:
        _draw_right_answers(axes[1], lines["eval"], *right)
    axes[-1].set_xlabel("step")
    return _save(figure, path)


def _draw_losses(ax, lines, name, start):
    steps, losses = _series(lines["train"], name)
    ax.plot(steps, losses, color=LIGHT, lw=1.2, label="training")
    held_steps, held = _series(lines["eval"], name)
    if len(held):
        lengths = _series(lines["eval"], "max_seq_length")[1][
            1:
        ]  # the untrained model was given the longest
        grow = (
            f", sequences of {min(lengths):.0f} to {max(lengths):.0f} tokens"
            if len(set(lengths)) > 1
            else ""
        )
        ax.plot(held_steps, held, color="black", lw=2, marker="o", ms=3.5, label="held-out" + grow)
    _draw_levels(ax, start)
    ax.set_ylabel("masked-word loss (nats)" if name == "mlm_loss" else "loss")
    ax.set_title(_loss_title(lines, name, losses, held, start.get("unigram_entropy")), fontsize=11)
    ax.legend(frameon=False, fontsize=8, loc="lower left")


def _draw_levels(ax, start):
    """The two reference lines of pretraining, where the log's first line knows them."""
    levels = {
        "log V:\nevery piece\nequally likely": math.log(start["vocab_size"])
        if start.get("vocab_size")
        else None,
        "unigram entropy:\nfrequencies,\nno context": start.get("unigram_entropy"),
    }
    for (text, level), dash in zip(levels.items(), ("--", ":")):
        if level is not None:
            ax.axhline(level, color=MIDDLE, ls=dash, lw=1.3)
            _label_level(ax, level, f"{text} ({level:.2f})")


def _label_level(ax, level, text):
    """Write `text` at the right end of a level line, outside the frame: no curve can cross it."""
    ax.annotate(
        text,
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(5, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=8,
        annotation_clip=False,
    )


def _from_to(values, form="{:.2f}"):
    """ "falls from 9.0 to 3.8": first and last value."""
    first, last = form.format(values[0]), form.format(values[-1])
    if first == last:
        return f"stays at {last}"
    return f"{'falls' if values[-1] < values[0] else 'rises'} from {first} to {last}"


def _loss_title(lines, name, losses, held, entropy):
    """What the loss has come to, in the numbers of the run's last line on the screen."""
    words = "masked-word loss" if name == "mlm_loss" else "loss"
    if not len(held):
        return f"Training {words} {_from_to(losses)}{_against(losses, entropy)}"
    right = lines["eval"][-1].get("mlm_accuracy")
    right = f", {right:.1%} of masked words right" if right is not None else ""
    return f"Held-out {words} {_from_to(held)}{right}{_against(held, entropy)}"


def _against(curve, entropy):
    """What the last loss means beside the unigram entropy."""
    if entropy is None:
        return ""
    guessing = f"\n(guessing from word frequencies alone: {entropy:.2f}"
    if curve[-1] < entropy - 0.1:
        return guessing + ")"
    return guessing + "; the context is not used yet)"


def _right_answers(evaluations, pretraining):
    """What the lower panel shows, or None if nothing of the kind was logged.

    (metric, words for it, its chance level).
    """
    if pretraining:
        known = [("sop_accuracy", "sentence order", 0.5), ("mlm_accuracy", "masked words", None)]
    else:
        names = [
            n
            for e in evaluations[:1]
            for n in e
            if n not in ("kind", "step", "seconds") and "loss" not in n
        ]
        known = [
            (n, n.replace("_", " "), None)
            for n in ("accuracy", "f1", "exact_match", "pearson", *names)
        ]
    return next((k for k in known if any(k[0] in e for e in evaluations)), None)


def _draw_right_answers(ax, evaluations, name, words, chance):
    steps, values = _series(evaluations, name)
    if chance is not None:
        ax.axhline(chance, color=MIDDLE, ls="--", lw=1.3)
        _label_level(ax, chance, f"guessing\n({chance:.0%})")
    ax.plot(steps, values, color="black", lw=2, marker="o", ms=3.5)
    if chance is None:
        ax.set_title(f"Held-out {words} {_from_to(values, '{:.3f}')}", fontsize=11)
        ax.set_ylabel(words)
        return
    ax.set_ylim(min(0.4, values.min() - 0.05), 1.02)
    ax.set_ylabel(f"{words} right")
    ax.set_title(
        f"{words.capitalize()}: {values[-1]:.1%} of held-out pairs right"
        + (", as by guessing" if abs(values[-1] - chance) < 0.05 else ""),
        fontsize=11,
    )


def plot_comparison(logs, path, metric="mlm_loss", x="step"):
    """One line for each run of {label: log}, of a held-out metric against "step" or "minutes".

    A masked-word loss begins with the second evaluation (the untrained model's, log V, would take
    half the picture) and has the unigram entropy of the first run beside it.
    """
    figure = _figure(8.5, 4.6)
    ax, ends = figure.subplots(), {}
    dashes = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
    for number, (label, log) in enumerate(logs.items()):
        steps, values = _series(read_log(log)["eval"], metric, "seconds" if x == "minutes" else x)
        if not len(values):
            raise UserError(
                f"the log of {label} has no evaluation with {metric}; evaluate during training"
            )
        first = int(metric == "mlm_loss" and len(values) > 2)
        style = {"color": str(0.5 * (number % 2)), "ls": dashes[number % len(dashes)], "lw": 1.8}
        places = steps / 60 if x == "minutes" else steps
        ax.plot(places[first:], values[first:], label=f"{label} ({values[-1]:.2f})", **style)
        ends[label] = values[-1]
    if metric == "mlm_loss":
        _draw_levels(
            ax, {**(read_log(next(iter(logs.values())))["start"] or [{}])[0], "vocab_size": None}
        )
    best = (min if metric.endswith("loss") else max)(ends, key=ends.get)
    words = metric.replace("mlm", "masked-word").replace("sop", "sentence-order").replace("_", " ")
    ax.set_title(f"Best held-out {words} at the end: {best}, {ends[best]:.2f}", fontsize=11)
    ax.set_xlabel(x)
    ax.set_ylabel(f"held-out {words}")
    handles, labels = ax.get_legend_handles_labels()  # in the order in which the curves end
    order = sorted(range(len(labels)), key=lambda i: -list(ends.values())[i])
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        frameon=False,
        fontsize=8,
        handlelength=4,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=1 + (len(labels) > 3),
    )
    return _save(figure, path)


def attention_habits(weights, tokens):
    """What each head looks at most, and with what share of its weight.

    weights (N, T, T), T tokens -> [(place, share of the weight), ...].  Places are the token
    itself, the one before, the one after, and the special tokens.
    """
    T = len(tokens)
    places = {
        "the token itself": np.eye(T),
        "the token before": np.eye(T, k=-1),
        "the token after": np.eye(T, k=1),
    }
    for special in ("[CLS]", "[SEP]", "[MASK]"):
        if special in tokens:
            places[special] = np.broadcast_to([float(t == special) for t in tokens], (T, T))
    shares = {place: (weights * where).sum(axis=(1, 2)) / T for place, where in places.items()}
    best = [max(shares, key=lambda place, n=n: shares[place][n]) for n in range(len(weights))]
    return [(place, float(shares[place][n])) for n, place in enumerate(best)]


def plot_attention(attentions, tokens, path, layer=-1):
    """Attention maps of the heads of one layer for one text.

    Row = the token that looks, column = what it looks at.

    attentions: the (B, N, T, T) arrays of each layer that a model returns with
    output_attentions=True; the first text of the batch is drawn, up to len(tokens) tokens.
    """
    layers, T = len(attentions), len(tokens)
    if not -layers <= layer < layers:
        raise UserError(f"layer {layer} of a model with {layers}; expected 0 to {layers - 1}")
    weights = getattr(attentions[layer], "data", attentions[layer])
    weights = np.asarray(to_host(weights))[0, :, :T, :T]  # (N, T, T)
    if weights.shape[-1] != T:
        raise UserError(
            f"{T} tokens for attention over {weights.shape[-1]}; expected the tokens of that text"
        )
    heads = len(weights)
    columns = min(4, heads)
    rows = -(-heads // columns)
    side = max(2.4, 0.17 * T)
    figure = _figure(side * columns + 0.6, (side + 0.5) * rows + 0.7)
    axes = figure.subplots(rows, columns, squeeze=False)
    habits = attention_habits(weights, list(tokens))
    labels = [t.replace("$", r"\$") for t in tokens]  # $...$ would be a formula
    for number, ax in enumerate(axes.flat):
        if number >= heads:
            ax.set_axis_off()
            continue
        ax.imshow(weights[number], cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        place, share = habits[number]
        ax.set_title(f"head {number}: {share:.0%} on {place}", fontsize=8)
        ax.set_xticks(range(T), labels, rotation=90, fontsize=6)
        ax.set_yticks(range(T), labels if number % columns == 0 else [""] * T, fontsize=6)
    strongest = max(range(heads), key=lambda n: habits[n][1])
    figure.suptitle(
        f"Layer {layer % layers}: head {strongest} gives {habits[strongest][1]:.0%} of its "
        f"attention to "
        f"{habits[strongest][0]}",
        fontsize=11,
    )
    return _save(figure, path)
