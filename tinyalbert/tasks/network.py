"""The model that fine-tuning starts from: a folder's weights, and a head for the task."""

from ..decoder import DECODER
from ..errors import UserError
from ..files.checkpoint import changed, load_into, load_state, match, read_config
from .options import kept_settings

# what an earlier task left in the config
EARLIER = (
    "id2label",
    "label2id",
    "long_inputs",
    "window_overlap",
    "task_settings",
    "unanswerable",
    DECODER,
)


def task_network(task, options, say):
    """A model of the task with the weights of a folder, or of its size with random ones."""
    config = read_config(options.model)
    earlier = config.extra.get("finetuning_task", "")
    earlier_names = [config.id2label[i] for i in range(config.num_labels)]
    for name in EARLIER:
        config.extra.pop(name, None)
    config.problem_type = None
    config = task.configure(config)
    config.extra["finetuning_task"] = task.name  # as transformers calls it
    settings = kept_settings(task.settings)
    if settings:
        config.extra["task_settings"] = settings
    if options.long != task.long[0]:
        config.extra["long_inputs"] = options.long
    _check_windows(task, options)
    if options.overlap is not None:
        config.extra["window_overlap"] = options.overlap
    if options.dropout is not None:
        config = changed(
            config,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
    network = task.model_class(config, seed=options.seed)
    task.start_head(network)
    if options.random_init or options.resume:  # a run that goes on brings its own weights
        return network
    state = load_state(options.model)
    if options.keep_head:
        state = _by_name(state, task, earlier_names)
    else:
        state = _without_head(state, task, earlier, say)
    shapes = {name: array.shape for name, array in network.state_dict().items()}
    _, report = match(shapes, state)
    if options.keep_head and report.wrong_shape:
        raise UserError(
            f"--keep-head: the folder's head has other outputs ({'; '.join(report.wrong_shape)}); "
            "leave --keep-head out"
        )
    load_into(network, state)
    return network


def _check_windows(task, options):
    """Refuse options of windows where texts are not read in windows."""
    pooling = getattr(task.settings, "window_pooling", "mean")
    of_windows = {
        "--overlap": options.overlap,
        "--window-pooling": None if pooling == "mean" else pooling,
    }
    given = [f"{flag} {value}" for flag, value in of_windows.items() if value is not None]
    if given and options.long != "windows":
        instead = ", or choose --long windows" if "windows" in task.long else ""
        raise UserError(
            f"{given[0]} is of windows, and --long is {options.long}; leave it out{instead}"
        )


def _by_name(state, task, names):
    """The weights of a folder with the outputs of its head in the order of the task's labels.

    names: the folder's labels in the order of its outputs.  transformers' LABEL_0, ... say nothing,
    so these stay where they are.
    """
    labels = task.labels
    if not labels or labels == names or names == [f"LABEL_{i}" for i in range(len(names))]:
        return state
    if len(labels) == len(names) and set(labels) != set(names):
        raise UserError(
            f"--keep-head: the folder's labels are {', '.join(names)}, those of the rows "
            f"{', '.join(labels)}; expected the same names, or leave --keep-head out"
        )
    order = [names.index(label) for label in labels if label in names]
    parts = tuple(f"{part}." for part in task.head)
    return {
        name: array[order] if name.startswith(parts) and len(array) == len(order) else array
        for name, array in state.items()
    }


def _without_head(state, task, earlier, say):
    """The weights of a folder without the head of an earlier task, whose outputs meant others."""
    parts = tuple(f"{part}." for part in task.head)
    kept = {name: array for name, array in state.items() if not name.startswith(parts)}
    if len(kept) < len(state):
        what = f"the task {earlier}" if earlier else "an earlier task"
        say(f"the head that was trained for {what} starts anew (--keep-head keeps it)")
    return kept
