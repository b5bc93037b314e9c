"""`tinyalbert export`: a folder as an ONNX file, or with 8-bit weights, checked and compared."""

import shutil
import time
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ..convert import MODELS
from ..decoder import AlbertForTranslation
from ..errors import UserError
from ..files.checkpoint import WEIGHT_FILES, read_config, weights_path
from ..files.int8 import quantized
from ..files.safetensors_file import write_safetensors
from ..files.writing import replacing
from ..heads import AlbertForSentenceEmbedding
from ..modes import no_grad
from ..options import make, over
from ..tasks.inference import evaluate_file, task_of
from ..tasks.options import EvaluateOptions, options_of
from ..window_heads import AlbertForWindowClassification
from .graph import needed
from .heads import onnx_model

CLASSES = {
    **MODELS,
    "AlbertForSentenceEmbedding": AlbertForSentenceEmbedding,
    "AlbertForTranslation": AlbertForTranslation,
    "AlbertForWindowClassification": AlbertForWindowClassification,
}
SEVERAL = ("AlbertForMultipleChoice", "AlbertForWindowClassification")  # sequences in a row
# of a run's folder: the weights themselves, and what only training needs
LEFT_OUT = (*WEIGHT_FILES, "*.bin", "last", "data", "*.partial", "log.jsonl", "loss.png")
TRIALS = ((1, 8), (3, 17), (2, 1))  # (sequences, tokens) on which both sides are compared
ROUNDS = 15  # of the time that is printed


def export(folder, output, onnx=False, int8=False, table=None, say=print):
    """Write `folder` as an ONNX file, or as a folder with 8-bit weights.

    output: the file or the folder to write, which must not be there.  table: labelled rows of the
    folder's own task, on which a folder with 8-bit weights is scored beside the old one.  Says
    sizes, the largest difference of the outputs, and the time of one sequence of 128 tokens before
    and after.
    """
    if table and (onnx or not int8):
        raise UserError("a table is scored with a folder of 8-bit weights: --int8 without --onnx")
    if not (onnx or int8):
        raise UserError("expected --onnx, --int8, or both: what the folder is to become")
    output = Path(output)
    if output.exists():
        raise UserError(f"{output} is there already; choose another --output")
    model = load(folder)
    before = sum(p.data.nbytes for p in model.parameters())
    if onnx:
        run = _write_onnx(model, output, int8)
        after = output.stat().st_size
    else:
        run = _write_int8(model, Path(folder), output)
        after = (output / "model.safetensors").stat().st_size
    say(
        f"{output}: {after / 1e6:.2f} MB, the weights in float32 {before / 1e6:.2f} MB "
        f"({after / before:.3f} times)"
    )
    say(_compared(model, run))
    say(_timed(model, run))
    if table:
        scores = [evaluate_file(evaluation_of(each, table), say)[0] for each in (folder, output)]
        for name, old in scores[0].items():
            say(f"{name:24s}{scores[1][name]:8.4f}, here {old:8.4f}")
    return after / before


def evaluation_of(folder, table):
    """The EvaluateOptions of a folder's own task on a table."""
    Task, saved = task_of(folder)
    Class = options_of(Task, EvaluateOptions)
    return make(Class, over(Class, saved, {"model": str(folder), "table": str(table)}))


def load(folder):
    """The model of a folder, of the class that its config names."""
    weights_path(folder)  # refuses a folder without any
    config = read_config(folder)
    named = (config.extra.get("architectures") or ["AlbertModel"])[0]
    if named not in CLASSES:
        raise UserError(f"{folder} is a {named}; expected one of {', '.join(CLASSES)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is refused below
        model = CLASSES[named].from_pretrained(folder).eval()
    missing = model.restore_report.missing
    if named == "AlbertModel" and all(name.startswith("pooler.") for name in missing):
        model.pooler = None if missing else model.pooler
    elif missing:
        raise UserError(f"{folder} lacks {', '.join(missing[:4])} of a {named}; train it first")
    return model


def _write_onnx(model, output, int8):
    """Write the file and check it; returns a function that runs it."""
    onnx = needed("onnx")
    runtime = needed("onnxruntime")
    content = onnx_model(model, int8)
    onnx.checker.check_model(content, full_check=True)
    with replacing(output) as file:
        file.write(content.SerializeToString())
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(output), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def run(batch):
        given = {name: array.astype(np.int64) for name, array in batch.items()}
        return dict(zip(names, session.run(names, given)))

    return run


def _write_int8(model, folder, output):
    """Write the folder; returns a function that runs what it holds."""
    shutil.copytree(folder, output, ignore=shutil.ignore_patterns(*LEFT_OUT))
    write_safetensors(output / "model.safetensors", quantized(model.state_dict()), {"format": "pt"})
    return _runner(load(output))


def _runner(model):
    def run(batch):
        with no_grad():
            out = model(**batch)
        arrays = {name: getattr(out, name) for name in SCORES if name in out.keys()}
        return {name: np.asarray(a) for name, a in arrays.items() if a is not None}

    return run


# the outputs that are compared: scores and vectors
SCORES = (
    "logits",
    "prediction_logits",
    "sop_logits",
    "start_logits",
    "end_logits",
    "cls_logits",
    "window_logits",
    "window_scores",
    "embeddings",
    "last_hidden_state",
    "pooler_output",
)


def batch_for(model, sequences, tokens, seed=0):
    """A batch of random ids, the last token of each but the first sequence padded."""
    rng = np.random.default_rng(seed)
    config = model.config
    several = (2,) if type(model).__name__ in SEVERAL else ()
    shape = (sequences, *several, min(tokens, config.max_position_embeddings))
    mask = np.ones(shape, np.int32)
    if shape[-1] > 1:
        mask[1:, ..., -1] = 0
    batch = {
        "input_ids": rng.integers(0, config.vocab_size, shape).astype(np.int32),
        "attention_mask": mask,
        "token_type_ids": (np.arange(shape[-1]) > shape[-1] // 2).astype(np.int32) + 0 * mask,
    }
    if type(model).__name__ == "AlbertForConditionalQuestionAnswering":
        batch["p_mask"] = 1 - mask
    return batch


def difference(model, run):
    """The largest difference of any score, relative to the largest score of its kind."""
    largest = 0.0
    for sequences, tokens in TRIALS:
        batch = batch_for(model, sequences, tokens)
        expected = _runner(model)(batch)
        got = run(batch)
        for name, array in expected.items():
            if name in got:
                scale = max(1.0, float(abs(array).max(initial=0)))
                largest = max(largest, float(abs(got[name] - array).max(initial=0)) / scale)
    return largest


def _compared(model, run):
    if isinstance(model, AlbertForTranslation):
        return "compare it with `tinyalbert evaluate` on both folders"
    return f"largest difference of the scores: {difference(model, run):.1e} of the largest"


def _seconds(side, batch):
    """The median time of a call."""
    side(batch)
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        side(batch)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def _timed(model, run):
    if isinstance(model, AlbertForTranslation):
        return "its time is that of the folder it was made from: it computes in float32"
    batch = batch_for(model, 1, 128)
    times = {}
    with threadpool_limits(1, "blas"):
        for name, side in (("before", _runner(model)), ("after", run)):
            times[name] = 1000 * _seconds(side, batch)
    return (
        f"one sequence of {batch['input_ids'].shape[-1]} tokens, one thread: "
        f"{times['after']:.1f} ms, here {times['before']:.1f} ms"
    )
