"""View 3: what each head looks at, the mean over heads, and attention through all passes."""

import base64

import numpy as np

from ..config import AlbertConfig
from ..errors import UserError
from ..heads import AlbertForPreTraining
from ..modes import no_grad
from ..options import make
from ..pretraining.mimetic import imitate_trained_attention
from ..pretraining.options import PretrainOptions
from ..pretraining.pretrain import SAVED, SETTINGS
from ..training.checkpoints import read_settings

MOST = 4_000_000  # bytes of maps in one answer


def view(explorer, reading, start=False, most=MOST):
    """Attention weights as maps of T x T bytes, row = who looks, column = at what.

    maps: base64 of (L, N + 1, T, T) bytes, 255 for a weight of 1; after the heads comes their
    mean. rollout: base64 of (L, T, T): attention followed through the passes up to this one (Abnar
    & Zuidema 2020), of (mean + identity) / 2.  start: of the values that the run began with.
    """
    config = explorer.model.config
    L = config.num_hidden_layers * config.inner_group_num
    N = config.num_attention_heads
    room = int((most / (L * (N + 2))) ** 0.5)
    shown = reading.first(room)
    albert = (first_values(explorer) if start else explorer.model).albert
    with no_grad():
        attentions = albert.eval()(**reading.inputs(), output_attentions=True).attentions
    weights = np.stack([layer.numpy()[0] for layer in attentions])  # (L, N, T, T)
    mean = weights.mean(axis=1, keepdims=True)
    rolled = rollout(mean[:, 0])
    T = len(shown)
    return {
        "tokens": explorer.pieces(shown.ids),
        "layers": L,
        "heads": N,
        "maps": in_bytes(np.concatenate([weights, mean], axis=1)[..., :T, :T]),
        "rollout": in_bytes(rolled[:, :T, :T]),
        "left_out": len(reading) - T,
        "has_start": has_start(explorer),
    }


def rollout(mean):
    """Attention through all passes: mean weights (L, T, T) -> (L, T, T), rows that sum to 1."""
    rolled = []
    seen = np.eye(mean.shape[-1], dtype=mean.dtype)
    for layer in mean:
        seen = (layer + np.eye(len(layer), dtype=layer.dtype)) / 2 @ seen
        rolled.append(seen)
    return np.stack(rolled)


def in_bytes(weights):
    """Numbers from 0 to 1 as bytes, in base64."""
    rounded = np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(rounded.tobytes()).decode("ascii")


def has_start(explorer):
    """Whether the folder is of a run here that began from scratch, so that its start is known."""
    return (explorer.folder / SETTINGS).is_file()


def first_values(explorer):
    """The model as the run began it, from the run's own settings."""
    if not has_start(explorer):
        raise UserError(
            f"{explorer.folder} has no pretrain.json, so how it began isn't known; expected the "
            "output of `tinyalbert pretrain`"
        )
    settings = read_settings(explorer.folder / SETTINGS, "pretraining", SAVED)["options"]
    options = make(PretrainOptions, settings)
    if options.init:
        return AlbertForPreTraining.from_pretrained(options.init)
    config = AlbertConfig.from_dict(
        {**settings["model_config"], "vocab_size": explorer.model.config.vocab_size}
    )
    model = AlbertForPreTraining(config, seed=options.seed)
    if options.mimetic:
        imitate_trained_attention(model, options.seed)
    return model
