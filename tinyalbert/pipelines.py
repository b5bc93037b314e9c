"""`pipeline("fill-mask", folder)`: from text to answers in one call, in transformers' forms."""

from .backend import check_device
from .errors import UserError
from .heads import AlbertForMaskedLM, AlbertForSequenceClassification
from .tasks.classification import Features, check_fits, load_trained, predict_logits, softmax
from .tasks.fill_mask import fill_mask
from .tasks.tables import Row
from .text.tokenizer import AlbertTokenizer


class FillMaskPipeline:
    """Texts with [MASK] to the words that fit; see tasks.fill_mask."""

    model_class, made_by = (
        AlbertForMaskedLM,
        ("head for masked words", "pretrain TEXT --init FOLDER"),
    )

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def __call__(self, text, top_k=5, targets=None):
        if isinstance(text, str):
            return fill_mask(self.model, self.tokenizer, text, top_k, targets)
        return [fill_mask(self.model, self.tokenizer, t, top_k, targets) for t in text]


class TextClassificationPipeline:
    """Texts, or {"text", "text_pair"} pairs, to [{"label", "score"}]."""

    model_class, made_by = (
        AlbertForSequenceClassification,
        ("classifier", "finetune TABLE --model FOLDER"),
    )

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def __call__(self, inputs, top_k=1):
        single = isinstance(inputs, (str, dict))
        inputs = [inputs] if single else list(inputs)
        rows = [
            Row(i, None, None, "")
            if isinstance(i, str)
            else Row(i["text"], i.get("text_pair"), None, "")
            for i in inputs
        ]
        if not rows:
            return []
        longest = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        logits = predict_logits(self.model, Features(rows, self.tokenizer, max_length=longest))
        if self.model.config.num_labels == 1:
            return [
                {"label": self.model.config.id2label[0], "score": float(x)} for x in logits[:, 0]
            ]
        names = self.model.config.id2label
        answers = [
            [{"label": names[i], "score": float(row[i])} for i in (-row).argsort()[:top_k]]
            for row in softmax(logits)
        ]
        return [a[0] for a in answers] if top_k == 1 else answers


PIPELINES = {"fill-mask": FillMaskPipeline, "text-classification": TextClassificationPipeline}


def pipeline(task, model, tokenizer=None, device="cpu"):
    """A callable for "fill-mask" or "text-classification".  model: a folder, or a model with its
    tokenizer.
    """
    if task not in PIPELINES:
        raise UserError(f"pipeline {task!r} is unknown; expected one of {', '.join(PIPELINES)}")
    kind = PIPELINES[task]
    check_device(device)
    if not hasattr(model, "state_dict"):
        folder, tokenizer = model, tokenizer or AlbertTokenizer.from_pretrained(model)
        model = load_trained(kind.model_class, folder, *kind.made_by)
        check_fits(tokenizer, model.config, folder)
    if tokenizer is None:
        raise UserError(
            "pipeline() got a model without its tokenizer; pass tokenizer=, or the folder of both"
        )
    return kind(model.to(device), tokenizer)
