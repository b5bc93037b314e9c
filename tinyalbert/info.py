"""What a model is made of: the parameter table behind `tinyalbert info`."""

from pathlib import Path

from .config import AlbertConfig
from .files.checkpoint import read_config
from .heads import AlbertForPreTraining


def named_config(name):
    """The config of a folder, of a .json file, or of a preset."""
    path = Path(name)
    if path.is_dir():
        return read_config(path)
    if path.suffix == ".json":
        return AlbertConfig.from_json_file(path)
    return AlbertConfig.preset(name)


def parameter_rows(config):
    """[(component, parameters, how often it is used)], counted from the pretraining model."""
    parts = {
        "word embeddings (V x E)": "embeddings.word_embeddings",
        "position embeddings (P x E)": "embeddings.position_embeddings",
        "segment embeddings (2 x E)": "embeddings.token_type_embeddings",
        "embedding layer norm": "embeddings.LayerNorm",
        "projection E -> H": "embedding_hidden_mapping_in",
        "attention, with its layer norm": ".attention.",
        "feed-forward, with its layer norm": "albert_layers.",
        "final layer norm": "final_layer_norm",
        "pooler": "pooler",
        "masked-word head (decoder tied)": "predictions",
        "sentence-order head": "sop_classifier",
    }
    named = dict(AlbertForPreTraining(config, seed=None).named_parameters())
    counts = dict.fromkeys(parts, 0)
    for name, parameter in named.items():
        counts[next(part for part, mark in parts.items() if mark in name)] += parameter.size
    depth = config.num_hidden_layers * config.inner_group_num
    uses = dict.fromkeys(parts, 1)
    for part, matrix in (
        ("attention, with its layer norm", "query.weight"),
        ("feed-forward, with its layer norm", "ffn.weight"),
    ):
        uses[part] = depth // len([name for name in named if name.endswith(matrix)])
    uses["word embeddings (V x E)"] = 2  # looked up at the bottom, multiplied at the top
    return [(part, n, uses[part]) for part, n in counts.items() if n]


def products_per_token(config, length):
    """Multiplications of the encoder for one token of a sequence, forward; biases and norms apart.

    length: tokens of the sequence, which every token attends to.  Sharing changes nothing of it.
    """
    encoder = AlbertForPreTraining(config, seed=None).albert.encoder
    attention = 2 * length * config.hidden_size  # scores, and the mean of the values
    weights = sum(
        p.size for layer in encoder.layers() for p in layer.parameters() if p.data.ndim == 2
    )
    projected = config.embedding_projection * config.embedding_size * config.hidden_size
    return weights + projected + attention * len(encoder.layers())


def describe(name):
    """The table as text, with what factorised embeddings and shared layers save."""
    config = named_config(name)
    rows = parameter_rows(config)
    total = sum(n for _, n, _ in rows)
    encoder = sum(n for part, n, _ in rows if "head" not in part)
    V = config.vocab_size
    E = config.embedding_size
    H = config.hidden_size
    L = config.num_hidden_layers * config.inner_group_num
    untied = AlbertConfig.from_dict({**config.to_dict(), "shared_parameters": "none"})
    unshared = sum(n for _, n, _ in parameter_rows(untied)) - total
    lines = [
        f"{name}: H {H}, E {E}, L {L}, heads {config.num_attention_heads}, I "
        f"{config.intermediate_size}, V {V}, positions {config.max_position_embeddings}, layers "
        f"share: {config.shared_parameters}",
        "",
        f"{'component':34s}{'parameters':>14s}{'share':>9s}  used",
    ]
    lines += [
        f"{part:34s}{n:14,d}{n / total:9.1%}  {f'{times} times' if times > 1 else 'once'}"
        for part, n, times in rows
    ]
    lines += [
        f"{'encoder and pooler':34s}{encoder:14,d}",
        f"{'with both heads':34s}{total:14,d}{'':9s}  {4 * total / 2**20:,.1f} MiB in float32",
        "",
        f"Factorised embeddings: V*E + E*H = {V * E + E * H:,d} in place of V*H = {V * H:,d}",
        f"Shared layers: without sharing {unshared:,d} parameters more "
        f"({(total + unshared) / total:.1f} times the model); the time of a step is the same",
    ]
    return "\n".join(lines)
