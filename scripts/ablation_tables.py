"""The tables that scripts/ablation.py trains: what varies, what was found, and what would be the
same here.

A variant is {"config": fields of AlbertConfig, "run": options of pretrain} beside the preset.  A
claim says which weighted sum of a metric over the variants should be above 0: for a loss, what
should be worse has the weight 1 and what should be better -1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tinyalbert import AlbertConfig


@dataclass(frozen=True)
class Claim:
    """What was found, and how it would show here."""

    says: str
    contrast: dict  # {variant: weight}; the weighted sum of the metric should be above 0
    metric: str = "mlm_loss"


@dataclass(frozen=True)
class Table:
    """One table: its variants and what is claimed of them."""

    source: str
    variants: dict  # {name: {"config": {...}, "run": {...}}}
    claims: tuple
    paper: dict  # {variant: number as published}
    paper_metric: str = ""
    columns: tuple = ()  # metrics beside those that every table has
    equal: str = "steps"  # what all runs have as much of: steps or minutes
    remark: Callable | None = None  # {variant: {metric: mean}} -> a sentence beside the verdict


def _variant(run=None, **config):
    return {"config": config, "run": run or {}}


def embedding(preset):
    H = preset.hidden_size
    sizes = [*(size for size in (32, 64, 128) if size < H), H]
    paper = {
        "shared": {64: 79.0, 128: 80.1, 256: 79.6, 768: 79.8},
        "not shared": {64: 81.3, 128: 81.7, 256: 81.8, 768: 82.3},
    }
    theirs = [*list(paper["shared"])[: len(sizes) - 1], 768]
    variants, published = {}, {}
    for kind, sharing in (("shared", "all"), ("not shared", "none")):
        for size, their in zip(sizes, theirs):
            name = f"{kind}, E = {size}"
            variants[name] = _variant(embedding_size=size, shared_parameters=sharing)
            published[name] = f"{paper[kind][their]} (E = {their}, H = 768)"
    claims = [
        Claim(
            "without sharing, a larger E helps",
            {f"not shared, E = {sizes[0]}": 1, f"not shared, E = {H}": -1},
        )
    ]
    if len(sizes) > 2:
        middle = f"shared, E = {sizes[1]}"
        claims += [
            Claim(
                "shared, a middle E beats the smallest", {f"shared, E = {sizes[0]}": 1, middle: -1}
            ),
            Claim("shared, a middle E beats E = H", {f"shared, E = {H}": 1, middle: -1}),
        ]
    return Table("Lan et al. 2020, Table 3", variants, tuple(claims), published, "mean of 5 tasks")


def sharing(preset):
    groups = 2 if preset.num_hidden_layers > 2 else 1
    variants = {
        "all": _variant(),
        f"all, {groups} groups": _variant(num_hidden_groups=groups),
        "attention": _variant(shared_parameters="attention"),
        "FFN": _variant(shared_parameters="ffn"),
        "none": _variant(shared_parameters="none"),
    }
    if groups == 1:
        del variants["all, 1 groups"]
    claims = [
        Claim("sharing the FFN costs more than sharing attention", {"FFN": 1, "attention": -1}),
        Claim("sharing all costs", {"all": 1, "none": -1}),
    ]
    if groups > 1:
        claims.append(Claim("two groups cost less than one", {"all": 1, "all, 2 groups": -1}))
    paper = {"all": 80.1, "attention": 81.7, "FFN": 80.2, "none": 81.6}
    return Table("Lan et al. 2020, Table 4", variants, tuple(claims), paper, "mean of 5 tasks")


def sentence(preset):
    variants = {
        "none": _variant({"sentence_task": "none"}),
        "NSP": _variant({"sentence_task": "nsp"}),
        "SOP": _variant({"sentence_task": "sop"}),
    }
    claims = (
        Claim("SOP teaches order, NSP does not", {"SOP": 1, "NSP": -1}, "sop_given"),
        Claim("SOP teaches next sentences too", {"SOP": 1, "none": -1}, "nsp_given"),
    )
    paper = {"none": "52.4, 53.3", "NSP": "90.5, 52.0", "SOP": "78.9, 86.5"}
    columns = ("nsp_given", "sop_given")
    return Table("Lan et al. 2020, Table 5", variants, claims, paper, "NSP, SOP right (%)", columns)


def time(preset):
    H = preset.hidden_size
    bert = dict(shared_parameters="none", embedding_size=H, embedding_projection=False)
    wide = dict(
        hidden_size=2 * H,
        intermediate_size=8 * H,
        num_attention_heads=2 * preset.num_attention_heads,
    )
    variants = {
        "BERT": _variant({"sentence_task": "nsp"}, **bert),
        "ALBERT": _variant(),
        "ALBERT, twice as wide": _variant(**wide),
    }
    claims = (
        Claim(
            "in the same time a wider ALBERT gets further than BERT",
            {"BERT": 1, "ALBERT, twice as wide": -1},
        ),
    )
    paper = {"BERT": "87.2 (large)", "ALBERT, twice as wide": "88.7 (xxlarge)"}
    return Table(
        "Lan et al. 2020, Table 6", variants, claims, paper, "mean of 5 tasks", equal="minutes"
    )


def dropout(preset):
    dropped = dict(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    variants = {"dropout 0.1": _variant(**dropped), "no dropout": _variant()}
    claims = (
        Claim("without dropout words are learned better", {"dropout 0.1": 1, "no dropout": -1}),
    )
    paper = {"dropout 0.1": 90.4, "no dropout": 90.7}
    return Table("Lan et al. 2020, Table 8", variants, claims, paper, "mean of 5 tasks")


def depth(preset):
    depths = (1, 2, 4, 8)  # the paper: 1, 3, 6, 12, 24, 48 layers
    variants = {f"{n} layer{'s' if n > 1 else ''}": _variant(num_hidden_layers=n) for n in depths}
    claims = (
        Claim("two layers beat one", {"1 layer": 1, "2 layers": -1}),
        Claim("four beat two", {"2 layers": 1, "4 layers": -1}),
        Claim(
            "with diminishing returns",
            {"1 layer": 1, "2 layers": -1, "4 layers": -1, "8 layers": 1},
        ),
    )
    paper = {"1 layer": "52.9 (1)", "4 layers": "77.2 (6)", "8 layers": "81.5 (12)"}
    return Table("Lan et al. 2020, Table 11", variants, claims, paper, "mean of 5 tasks (layers)")


def width(preset):
    H, N = preset.hidden_size, preset.num_attention_heads
    widths = [H // 2, H, 2 * H]
    variants = {
        f"H = {width}": _variant(
            hidden_size=width, intermediate_size=4 * width, num_attention_heads=N * width // H
        )
        for width in widths
    }
    claims = tuple(
        Claim(f"H = {wide} beats H = {narrow}", {f"H = {narrow}": 1, f"H = {wide}": -1})
        for narrow, wide in zip(widths, widths[1:])
    )
    paper = dict(zip(variants, ("71.2 (1024)", "74.6 (2048)", "76.3 (4096)")))
    return Table("Lan et al. 2020, Table 12", variants, claims, paper, "mean of 5 tasks (H)")


def smoothness(preset):
    layers = max(8, preset.num_hidden_layers)
    variants = {
        "shared": _variant(num_hidden_layers=layers),
        "not shared": _variant(num_hidden_layers=layers, shared_parameters="none"),
    }
    claims = (
        Claim(
            "from layer to layer the states move more evenly with sharing",
            {"not shared": 1, "shared": -1},
            "unevenness",
        ),
    )
    columns = ("distance", "angle", "unevenness")
    return Table("Lan et al. 2020, Figure 1", variants, claims, {}, columns=columns)


def norm(preset):
    variants = {"post-LN": _variant(), "pre-LN": _variant(pre_norm=True)}
    claims = (Claim("layer norm before the sublayers learns sooner", {"post-LN": 1, "pre-LN": -1}),)
    return Table("Xiong et al. 2020, On Layer Normalization", variants, claims, {})


def optimizer(preset):
    variants = {
        "AdamW": _variant({"optimizer": "adamw"}),
        "LAMB": _variant({"optimizer": "lamb", "lr": 5e-3}),
        "Muon": _variant({"optimizer": "muon"}),
    }
    claims = (
        Claim("Muon learns more in a step than AdamW", {"AdamW": 1, "Muon": -1}),
        Claim(
            "sharing the layer saves Muon more of its own step than AdamW",
            {"Muon": 1, "AdamW": -1},
            "saved_by_sharing",
        ),
    )
    return Table(
        "Jordan et al. 2024; arXiv 2505.02222",
        variants,
        claims,
        {},
        columns=("step_of_optimizer", "step_not_shared", "optimizer_share", "share_not_shared"),
        remark=cost_of_muon,
    )


def cost_of_muon(means):
    """What an optimiser's own step takes of the whole step, in a sentence."""
    shares = {
        name: [f"{means[name][metric]:.1%}" for metric in ("optimizer_share", "share_not_shared")]
        for name in ("Muon", "AdamW")
    }
    return (
        f"Muon's own step takes {shares['Muon'][0]} of the whole step with one shared layer, "
        f"{shares['Muon'][1]} with nothing shared (AdamW's {shares['AdamW'][0]} and "
        f"{shares['AdamW'][1]})."
    )


def ngram(preset):
    variants = {
        "single pieces": _variant({"ngram": 1, "whole_word": False}),
        "whole words": _variant({"ngram": 1, "whole_word": True}),
        "up to 3 words": _variant({"ngram": 3, "whole_word": True}),
    }
    claims = (
        Claim("masked runs teach more grammar", {"up to 3 words": 1, "single pieces": -1}, "zorro"),
    )
    columns = ("ngram_mlm_loss",)
    return Table("Joshi et al. 2020; Lan et al. 2020, §4.1", variants, claims, {}, columns=columns)


def masking(preset):
    variants = {
        "15 %": _variant({"masked_lm_prob": 0.15}),
        "30 %": _variant({"masked_lm_prob": 0.3}),
        "40 %": _variant({"masked_lm_prob": 0.4}),
        "30 to 15 %": _variant({"masked_lm_prob": 0.3, "final_masked_lm_prob": 0.15}),
    }
    claims = (
        Claim("a falling share beats 15 % throughout", {"15 %": 1, "30 to 15 %": -1}),
        Claim("a small model wants less than 40 %", {"40 %": 1, "15 %": -1}),
    )
    return Table("arXiv 2305.15096 (falling), 2202.08005 (40 %)", variants, claims, {})


def gate(preset):
    narrower = 2 * (preset.intermediate_size // 3)  # as many parameters as without a gate
    variants = {
        "plain": _variant(),
        "gated": _variant(gated_ffn=True, intermediate_size=narrower),
    }
    claims = (Claim("a gate helps at equal parameters", {"plain": 1, "gated": -1}),)
    return Table("Shazeer 2020, GLU Variants", variants, claims, {})


def mimetic(preset):
    variants = {
        "random values": _variant({"mimetic": False}),
        "mimetic": _variant({"mimetic": True}),
    }
    claims = (Claim("values that imitate trained heads help", {"random values": 1, "mimetic": -1}),)
    return Table("Trockman & Kolter 2023", variants, claims, {})


def grouped(preset):
    variants = {
        name: _variant({"mimetic": False}, projection_groups=groups)
        for name, groups in (("no groups", 1), ("2 groups", 2), ("4 groups", 4))
    }
    claims = (
        Claim(
            "projections in groups save seconds, not only operations",
            {"no groups": 1, "4 groups": -1},
            "step_seconds",
        ),
    )
    return Table("Iandola et al. 2020, SqueezeBERT", variants, claims, {})


TABLES = {
    each.__name__: each
    for each in (
        embedding,
        sharing,
        sentence,
        time,
        dropout,
        depth,
        width,
        smoothness,
        norm,
        optimizer,
        ngram,
        masking,
        gate,
        mimetic,
        grouped,
    )
}
# the models of Tables 1 and 2, at V = 30,000, and what the paper gives: parameters, speed
SIZES = {
    "BERT base": (AlbertConfig.bert(vocab_size=30000), "108M", "4.7x"),
    "ALBERT base": (AlbertConfig.preset("base_v2"), "12M", "5.6x"),
    "BERT large": (
        AlbertConfig.bert(
            vocab_size=30000,
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
        ),
        "334M",
        "1.0",
    ),
    "ALBERT large": (AlbertConfig.preset("large_v2"), "18M", "1.7x"),
    "ALBERT xlarge": (AlbertConfig.preset("xlarge_v2"), "60M", "0.6x"),
    "ALBERT xxlarge": (AlbertConfig.preset("xxlarge_v2"), "235M", "0.3x"),
}
