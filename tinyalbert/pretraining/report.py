"""What a pretraining run says of itself.

Its text, what it will do, how good it has become, what to type next.
"""

import shlex

from ..text.tokenizer import has_tokenizer
from ..training.replicas import Threads
from .shards import Shards


def describe_corpus(meta):
    """A prepared corpus in words."""
    alone = meta["one_sentence_documents"]
    read = meta.get("read")  # nothing of built-in text
    entropy = meta["unigram_entropy"]
    lines = [
        *([read] if read else []),
        f"{meta['documents']:,} documents ({meta['held_out_documents']:,} held out), "
        f"{meta['sentences']:,} sentences, {meta['tokens']:,} pieces",
        f"guessing from word frequencies alone would score a loss of {entropy:.2f} "
        "(the unigram entropy, in nats)",
    ]
    if alone:
        lines.append(f"{alone:,} documents have one sentence and give no pairs")
    if not meta["held_out_documents"]:
        lines.append("with none held out, nothing will be evaluated")
    return "; ".join(lines)


def describe_run(options, data, model, ranks):
    """What a run is about to do, as lines of a small table.

    options: PretrainOptions, resolved.  data: the prepared folder's path.  model: the one to be
    trained.  ranks: the processes.
    """
    config = model.config
    recipe = options.recipe()
    rows = {
        "model": f"{model.num_parameters():,} parameters: {config.num_hidden_layers} layers of "
        f"{config.hidden_size}, vocabulary of {config.vocab_size:,}",
        "text": str(data),
        "how long": describe_length(options),
        "batches": describe_batches(recipe),
        "learning": f"{recipe.optimizer}, peak learning rate {recipe.lr:g}",
        "computing": describe_machine(options, ranks.size),
        "output": options.output,
    }
    if options.init and not options.resume:
        rows["begins as"] = describe_start(options.init, data)
    return "\n".join(f"  {name:11s}{words}" for name, words in rows.items())


def describe_start(init, data):
    """Which weights a run begins with, and that the text is written in their vocabulary.

    A text in another one was refused already (preparation.py), if the folder has its tokenizer.
    """
    known = Shards(data).meta["tokenizer_sha256"][:12]
    if has_tokenizer(init):
        return f"{init}, whose vocabulary is the text's (fingerprint {known})"
    return (
        f"{init}, which has no tokenizer beside it: that its vocabulary is the text's (fingerprint "
        f"{known}) could not be checked"
    )


def describe_length(options):
    """How long a run lasts."""
    if options.steps:
        return f"{options.steps:,} steps"
    if options.minutes:
        return (
            f"about {options.minutes:g} minutes; the first batches are timed to find how many "
            "steps that is"
        )
    return "as many steps as the run was begun for"


def describe_batches(recipe):
    """How many sequences of which length a step has, stage by stage."""
    stages = []
    for length, size, *_ in recipe.plan():
        words = f"{size} x {length}"
        if not stages or stages[-1] != words:
            stages.append(words)
    return f"sequences x tokens: {', then '.join(stages)}"


def describe_machine(options, ranks):
    """Where a run computes, in `ranks` processes."""
    threads = Threads(options.threads).n
    if options.device == "gpu":
        place = f"gpu, {options.precision}"
    else:
        place = f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    return place + (f", in {ranks} processes" if ranks > 1 else "")


def describe_result(metrics, unigram_entropy=None):
    """How good a model is on held-out text, and against what; "" if nothing was held out."""
    if "mlm_loss" not in metrics:
        return ""
    loss = metrics["mlm_loss"]
    words = f"masked words {metrics['mlm_accuracy']:.1%} right, loss {loss:.2f}"
    if unigram_entropy is not None:
        words += f" (guessing from word frequencies alone: {unigram_entropy:.2f})"
    if "sop_accuracy" in metrics:
        words += f"; sentence order {metrics['sop_accuracy']:.1%} right (guessing: 50.0%)"
    return f"held out: {words}"


def what_next(output):
    """What to type after a run."""
    folder = shlex.quote(str(output))
    return (
        f'model and tokenizer in {output}; try: tinyalbert fill-mask {folder} "The [MASK] was old."'
    )
