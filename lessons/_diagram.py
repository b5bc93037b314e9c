"""The one picture of ALBERT that the lessons share, with a mark at what a lesson builds: you_are_here("attention")."""

# (name, x, y, width, height, text): what goes upwards in a text's way through the model
BOXES = [
    ("tokenizer", 1.0, 0.0, 4.0, 0.7, "tokenizer: ids (10)"),
    ("masks", 5.3, 0.0, 2.6, 0.7, "masks, pairs (11)"),
    ("embeddings", 1.0, 1.1, 4.0, 0.7, "embeddings, E wide (07)"),
    ("widen", 1.0, 2.2, 4.0, 0.7, "linear, E to H (04, 07)"),
    ("projections", 1.0, 3.7, 4.0, 0.7, "query, key, value: linear (04)"),
    ("softmax", 1.0, 4.6, 4.0, 0.7, "attention: softmax (05, 08)"),
    ("norm_1", 1.0, 5.5, 4.0, 0.7, "linear, add, norm (06, 09)"),
    ("gelu", 1.0, 6.7, 4.0, 0.7, "linear, GELU, linear (06)"),
    ("norm_2", 1.0, 7.6, 4.0, 0.7, "add, norm (06, 09)"),
    ("word_head", 0.2, 9.3, 3.1, 0.7, "which word? (13)"),
    ("order_head", 3.6, 9.3, 3.1, 0.7, "which order? (13)"),
]
PARTS = {"softmax": ["softmax"], "norm and GELU": ["norm_1", "gelu", "norm_2"], "embeddings": ["embeddings", "widen"],
         "attention": ["projections", "softmax", "norm_1"], "layer": ["projections", "softmax", "norm_1", "gelu", "norm_2"],
         "linear": ["widen", "projections"], "tokenizer": ["tokenizer"], "masks": ["masks"], "heads": ["word_head", "order_head"]}


def you_are_here(plt, part):
    """A figure of the whole model in which the boxes of this part are dark."""
    fig, ax = plt.subplots(figsize=(5.2, 5.4))
    dark = PARTS[part]
    ax.add_patch(plt.Rectangle((0.5, 3.3), 5.0, 5.3, fill=False, ls="--", ec="0.5"))
    ax.text(5.65, 7.9, "the layer,\nthe same\nL times (09)", va="center", fontsize=8, color="0.3")
    for name, x, y, width, height, text in BOXES:
        here = name in dark
        ax.add_patch(plt.Rectangle((x, y), width, height, fc="0.15" if here else "0.94", ec="0.4"))
        ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8, color="white" if here else "0.1")
    for start, end in ((0.7, 1.1), (1.8, 2.2), (2.9, 3.7), (4.4, 4.6), (5.3, 5.5), (6.2, 6.7), (7.4, 7.6)):
        _arrow(ax, (3.0, start), (3.0, end))
    for x in (1.75, 5.0):
        _arrow(ax, (x, 8.3), (x, 9.3))
    _arrow(ax, (5.3, 0.35), (5.0, 0.35))
    for start, end in ((3.1, 5.85), (6.45, 7.95)):                       # past the work, to the sum
        ax.plot([3.0, 0.75, 0.75], [start, start, end], color="0.5", lw=0.8)
        _arrow(ax, (0.75, end), (1.0, end))
    y = [b[2] + b[4] / 2 for b in BOXES if b[0] in dark]
    x = max(b[1] + b[3] for b in BOXES if b[0] in dark)
    middle = sum(y) / len(y)
    if part in ("layer", "attention", "norm and GELU"):
        middle = min(y)
    ax.annotate("you are here", (x, middle), (x + 0.5, middle - (0 if part != "masks" else 0.6)), va="center", fontsize=9, weight="bold",
                arrowprops={"arrowstyle": "->", "lw": 1.5})
    ax.set(xlim=(0, 8.1), ylim=(-0.6, 10.2), title=f"Where this lesson stands: {part}")
    ax.axis("off")
    return fig


def _arrow(ax, start, end):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.4", "shrinkA": 0, "shrinkB": 0})
