"""The hyper-parameters of an ALBERT, named as in the released config.json, and the presets."""

from dataclasses import dataclass, field, fields

from .checks import SWITCH, Maybe, Number, OneOf, checked, shown
from .errors import UserError
from .strict_json import read_json

ACTIVATIONS = ("gelu_new", "gelu", "relu", "tanh", "linear")
SHARING = ("all", "attention", "ffn", "none")
SENTENCE_TASKS = ("sop", "nsp", "none")

PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
TOKEN_ID = Number(int, 0, most=1 << 24)
FRACTION = Number(float, 0, below=1)


def _size(most):
    return Number(int, 1, most=most)


# What each field may be; the largest sizes are some times those of any model, so that a wrong file
# is refused and does not fill the memory.
CHECKS = {
    "vocab_size": _size(1 << 24),
    "embedding_size": _size(1 << 15),
    "hidden_size": _size(1 << 15),
    "num_hidden_layers": _size(512),
    "num_hidden_groups": _size(512),
    "inner_group_num": _size(64),
    "num_attention_heads": _size(1 << 12),
    "intermediate_size": _size(1 << 17),
    "hidden_act": OneOf(*ACTIVATIONS),
    "hidden_dropout_prob": FRACTION,
    "attention_probs_dropout_prob": FRACTION,
    "max_position_embeddings": _size(1 << 20),
    "type_vocab_size": _size(1 << 10),
    "initializer_range": FRACTION,
    "layer_norm_eps": FRACTION,
    "classifier_dropout_prob": FRACTION,
    "pad_token_id": TOKEN_ID,
    "bos_token_id": TOKEN_ID,
    "eos_token_id": TOKEN_ID,
    "num_labels": _size(1 << 20),
    "problem_type": Maybe(OneOf(*PROBLEMS)),
    "shared_parameters": OneOf(*SHARING),
    "sentence_task": OneOf(*SENTENCE_TASKS),
    "embedding_projection": SWITCH,
    "ffn_dropout": SWITCH,
    "sop_dropout": SWITCH,
    "pre_norm": SWITCH,
    "gated_ffn": SWITCH,
    "projection_groups": _size(1 << 8),
}
MOST_PADDING = 128  # rows without a piece, by which a vocabulary is filled up to a round number
# What a file has to say: weights of other sizes may have the same shapes.
ESSENTIAL = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
# null means "not given" for these alone, as transformers writes it.
MAY_BE_NULL = (
    "classifier_dropout_prob",
    "problem_type",
    "num_labels",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
# Keys of transformers that make another model, and the value that makes this one.
NEEDED = {"position_embedding_type": "absolute", "quantization_config": None}
# The same of a BERT.
NEEDED_OF_BERT = {"is_decoder": False, "add_cross_attention": False}
OWN_FIELDS = {  # unknown to other libraries, or written only if they differ from the default
    "shared_parameters",
    "sentence_task",
    "embedding_projection",
    "ffn_dropout",
    "sop_dropout",
    "num_labels",
    "problem_type",
    "pre_norm",
    "gated_ffn",
    "projection_groups",
}
# What no ALBERT of other libraries has; a model with one of them is of a type of its own there.
OWN_PARTS = ("pre_norm", "gated_ffn", "projection_groups")
OWN_TYPE = "tinyalbert"
BERT_TYPE = "bert"


def _preset(hidden, layers, heads, intermediate=None, dropout=0.0, **more):
    """The fields of a preset; the feed-forward part is four times as wide as the rest."""
    return dict(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate or 4 * hidden,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **more,
    )


_RELEASED = dict(vocab_size=30000, embedding_size=128, max_position_embeddings=512)
# Released sizes (Lan et al. 2020, Table 1; google-research/albert README).  The paper gives xlarge
# 32 heads; every released xlarge has 16.  Version 1 was trained with dropout 0.1 (xxlarge without),
# version 2 without.
PRESETS = {
    "tiny": _preset(64, 2, 2, vocab_size=2000, embedding_size=64, max_position_embeddings=128),
    "mini": _preset(128, 4, 4, vocab_size=8000, embedding_size=128, max_position_embeddings=512),
    "small": _preset(256, 6, 4, vocab_size=8000, embedding_size=128, max_position_embeddings=512),
    "base_v1": _preset(768, 12, 12, dropout=0.1, **_RELEASED),
    "large_v1": _preset(1024, 24, 16, dropout=0.1, **_RELEASED),
    "xlarge_v1": _preset(2048, 24, 16, dropout=0.1, **_RELEASED),
    "xxlarge_v1": _preset(4096, 12, 64, **_RELEASED),
    "base_v2": _preset(768, 12, 12, **_RELEASED),
    "large_v2": _preset(1024, 24, 16, **_RELEASED),
    "xlarge_v2": _preset(2048, 24, 16, **_RELEASED),
    "xxlarge_v2": _preset(4096, 12, 64, **_RELEASED),
}


@dataclass
class AlbertConfig:
    """Hyper-parameters; the defaults are a small model (preset "mini"), never the 223M one.

    Fields down to classifier_dropout_prob are those of google-research/albert and transformers.
    The fields after it exist only here and are written to config.json when they differ from their
    defaults.
    """

    vocab_size: int = 8000
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_hidden_groups: int = 1  # parameter sets; layer i uses set floor(i * groups / layers)
    inner_group_num: int = 1  # layers inside one set, all applied each time the set is used
    num_attention_heads: int = 4
    intermediate_size: int = 512
    hidden_act: str = "gelu_new"  # transformers' names: gelu_new = tanh form, gelu = exact
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout_prob: float = 0.1
    pad_token_id: int = 0
    bos_token_id: int = 2
    eos_token_id: int = 3
    num_labels: int = 2  # of a fine-tuning head; id2label and label2id decide if given
    problem_type: str | None = None  # one of PROBLEMS

    shared_parameters: str = "all"  # ablations: what all layers share: all, attention, ffn, none
    sentence_task: str = "sop"  # sentence-order prediction, next-sentence prediction (BERT), none
    embedding_projection: bool = True  # False leaves out the E->H map (Google's rule when E == H)
    ffn_dropout: bool = True  # Google drops the FFN output, transformers does not
    sop_dropout: bool = False  # transformers drops the pooled vector before the SOP head
    pre_norm: bool = False  # layer norm before attention and feed-forward (Xiong et al. 2020)
    gated_ffn: bool = False  # act(x W) * (x V) in place of act(x W) (Shazeer 2020)
    projection_groups: int = 1  # groups of q, k, v and feed-forward (Iandola et al. 2020)
    extra: dict = field(default_factory=dict)  # unknown keys of a config.json, kept as they were

    def __post_init__(self):
        checked(vars(self), CHECKS)
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} can't be split over {self.num_attention_heads} "
                "heads; choose num_attention_heads so that it divides hidden_size"
            )
        for width in ("hidden_size", "intermediate_size"):
            if getattr(self, width) % self.projection_groups:
                raise UserError(
                    f"{width} {getattr(self, width)} can't be split into {self.projection_groups} "
                    "groups; choose projection_groups so that it divides hidden_size and "
                    "intermediate_size"
                )
        self._settle_groups()
        if not self.embedding_projection and self.embedding_size != self.hidden_size:
            raise UserError(
                "embedding_projection=False needs embedding_size == hidden_size, got "
                f"{self.embedding_size} and {self.hidden_size}"
            )

    def _settle_groups(self):
        """Set num_hidden_groups where shared_parameters decides it, and check it."""
        groups = self.num_hidden_groups
        layers = self.num_hidden_layers
        if self.shared_parameters in ("attention", "ffn") and groups not in (1, layers):
            raise UserError(
                f"shared_parameters={self.shared_parameters!r} shares one part over all layers; "
                f"leave num_hidden_groups at 1, got {groups}"
            )
        if self.shared_parameters != "all":
            # one parameter set per layer; the shared part, if any, is in all of them
            self.num_hidden_groups = layers
        if self.num_hidden_groups > layers:
            raise UserError(
                f"num_hidden_groups {groups} is more than the {layers} layers; expected at most "
                "one group per layer"
            )

    @classmethod
    def preset(cls, name, **changes):
        """A named size: tiny, mini, small, base_v1 ... xxlarge_v2; `changes` override fields."""
        key = name.replace("-", "_").removeprefix("albert_")
        if key not in PRESETS:
            raise UserError(f"preset {name!r} is unknown; expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[key], **changes})

    @classmethod
    def bert(cls, **changes):
        """BERT (Devlin et al. 2019) from the same code.

        Nothing is shared, E = H without a projection, and the sentence task is NSP.
        """
        values = {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "vocab_size": 30522,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "shared_parameters": "none",
            "sentence_task": "nsp",
            "embedding_projection": False,
            **changes,
        }
        values.setdefault("embedding_size", values["hidden_size"])
        return cls(**values)

    @classmethod
    def from_dict(cls, values):
        """From the keys of a config.json; keys that are not fields here are kept in `extra`.

        Without a model_type they are google-research/albert's, where "gelu" means the tanh form.
        Those of a BERT ("bert") are read into the fields of `AlbertConfig.bert`.
        """
        values = dict(values)
        kind = values.pop("model_type", None)
        if kind not in (None, "albert", BERT_TYPE, OWN_TYPE):
            raise UserError(
                f"the model is of type {shown(kind)} (model_type); expected 'albert' or 'bert'"
            )
        if kind is None and values.get("hidden_act") == "gelu":
            values["hidden_act"] = "gelu_new"
        needs = NEEDED | (NEEDED_OF_BERT if kind == BERT_TYPE else {})
        for name, needed in needs.items():
            if values.get(name) not in (None, needed):
                raise UserError(f"{name} is {shown(values[name])}; expected {needed!r} or none")
        own = {f.name for f in fields(cls)} - {"extra"}
        for name in own - {*MAY_BE_NULL}:
            if values.get(name, "") is None:
                raise UserError(f"{name} is null; expected a value, or leave it out")
        if labels := values.get("id2label"):
            if not _are_labels(labels):
                raise UserError(
                    f'id2label is {shown(labels)}; expected names such as {{"0": "no", "1": "yes"}}'
                )
            values["num_labels"] = len(labels)
        build = cls
        if kind == BERT_TYPE:
            build = cls.bert
            dropout = values.pop("classifier_dropout", None)
            values["classifier_dropout_prob"] = (
                values.get("hidden_dropout_prob") if dropout is None else dropout
            )
        known = {k: v for k, v in values.items() if k in own and v is not None}
        return build(**known, extra={k: v for k, v in values.items() if k not in own})

    def to_dict(self):
        """The keys of a config.json that transformers also opens, unless it has own_parts."""
        values = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "extra"
            and not (f.name in OWN_FIELDS and getattr(self, f.name) == f.default)
        }
        kind = OWN_TYPE if self.own_parts() else "albert"
        values = {**self.extra, **values, "model_type": kind}
        if "id2label" in values:
            values.pop("num_labels", None)
        return values

    def own_parts(self):
        """The names of OWN_PARTS that this model has."""
        defaults = {f.name: f.default for f in fields(self)}
        return [name for name in OWN_PARTS if getattr(self, name) != defaults[name]]

    def has_room_for(self, vocab_size):
        """Whether a vocabulary of this size is the model's, which may be padded a little."""
        return 0 <= self.vocab_size - vocab_size < MOST_PADDING

    @property
    def id2label(self):
        """{number: name} of a classifier's labels."""
        given = self.extra.get("id2label") or {i: f"LABEL_{i}" for i in range(self.num_labels)}
        return {int(i): str(name) for i, name in given.items()}

    def with_labels(self, names):
        """A copy for a classifier whose labels have these names, in this order."""
        names = list(names)
        return self.from_dict(
            {
                **self.to_dict(),
                "num_labels": len(names),
                "id2label": {str(i): n for i, n in enumerate(names)},
                "label2id": {n: i for i, n in enumerate(names)},
            }
        )

    @classmethod
    def from_json_file(cls, path):
        """Read a config.json of this package, transformers or google-research/albert."""
        expected = "the config of an ALBERT, as transformers or google-research/albert write it"
        values = read_json(path, expected)
        try:
            config = cls.from_dict(values)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        essential = set(ESSENTIAL)
        if values.get("model_type") == BERT_TYPE:  # whose E is H
            essential.remove("embedding_size")
        missing = [name for name in ESSENTIAL if name in essential and name not in values]
        if missing:
            raise UserError(f"{path} lacks {', '.join(missing)}; expected {expected}")
        return config


def _are_labels(labels):
    """Whether these are {number: name} with all numbers from 0 on, which may be written as text."""
    if not isinstance(labels, dict) or not all(isinstance(name, str) for name in labels.values()):
        return False
    return {str(i) for i in labels} == {str(i) for i in range(len(labels))}
