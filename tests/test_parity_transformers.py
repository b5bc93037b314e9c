"""Equal to transformers: outputs, losses, the gradient of every parameter, and weights that travel both ways.

Needs the `parity` extra.  Two known differences are kept out: transformers gives the embedding of the padding
id no gradient, so no id here is 0; and it fails if inner_group_num is more than layers / groups.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tinyalbert import heads  # noqa: E402
from tinyalbert.albert import AlbertModel  # noqa: E402
from tinyalbert.config import AlbertConfig  # noqa: E402
from tinyalbert.optim import AdamW  # noqa: E402
from tinyalbert.tensor import backward  # noqa: E402

pytestmark = pytest.mark.parity
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
CONFIGS = {
    "plain": {}, "groups": {"num_hidden_groups": 2}, "inner": {"inner_group_num": 2},
    "groups and inner": {"num_hidden_groups": 2, "inner_group_num": 2}, "E = H": {"embedding_size": 16},
    "gelu": {"hidden_act": "gelu"}, "relu": {"hidden_act": "relu"}, "one head": {"num_attention_heads": 1},
    "eps": {"layer_norm_eps": 1e-3}, "segments": {"type_vocab_size": 5},
}
HEADS = {"AlbertModel": {}, "AlbertForPreTraining": {}, "AlbertForMaskedLM": {},
         "AlbertForSequenceClassification": {"num_labels": 3}, "regression": {"num_labels": 1},
         "multi_label": {"num_labels": 3, "problem_type": "multi_label_classification"},
         "AlbertForTokenClassification": {"num_labels": 5}, "AlbertForQuestionAnswering": {},
         "AlbertForMultipleChoice": {}}


def small(**changes):
    return AlbertConfig(**{**dict(vocab_size=31, embedding_size=8, hidden_size=16, num_hidden_layers=4,
                                  num_attention_heads=4, intermediate_size=20, max_position_embeddings=12), **changes})


def theirs_of(kind, config):
    """transformers' class and config for the same model."""
    options = {k: v for k, v in config.to_dict().items() if k not in ("model_type", "num_labels")}
    name = kind if kind.startswith("Albert") else "AlbertForSequenceClassification"
    config = transformers.AlbertConfig(**options, num_labels=config.num_labels, attn_implementation="eager")
    return getattr(transformers, name), config


def ours_of(kind):
    return AlbertModel if kind == "AlbertModel" else getattr(heads, kind, heads.AlbertForSequenceClassification)


def state_of(theirs, own_names):
    """transformers' weights; the decoder is tied to weights that are there already."""
    state = {n: a.detach().numpy() for n, a in theirs.state_dict().items()}
    assert set(state) - set(own_names) <= {"predictions.decoder.weight", "predictions.decoder.bias"}
    return {n: state[n] for n in own_names}


def twins(kind, config, dtype, seed=0):
    """A random model of transformers and ours with its weights."""
    cls, their_config = theirs_of(kind, config)
    torch.manual_seed(seed)
    theirs = cls(their_config).to(torch.float64 if dtype == np.float64 else torch.float32).eval()
    with torch.no_grad():                        # gains, shifts and the padding row too
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    ours = ours_of(kind)(config, seed=1).astype(dtype)
    ours.load_state_dict(state_of(theirs, ours.state_dict()))
    return ours, theirs


def batch(kind, config, rng, B=3, T=10, padding="right"):
    """Padded rows, several segments, and targets for the head."""
    lead = (B, 3) if kind == "AlbertForMultipleChoice" else (B,)
    lengths = rng.integers(3, T + 1, (*lead, 1))
    b = dict(input_ids=rng.integers(1, config.vocab_size, (*lead, T)),
             attention_mask=hiding(lengths, T, padding, rng).astype(np.int64),
             token_type_ids=rng.integers(0, config.type_vocab_size, (*lead, T)))
    sparse = np.where(rng.random((B, T)) < 0.4, rng.integers(0, config.vocab_size, (B, T)), -100)
    sparse[0, 0] = 4
    targets = {"AlbertForPreTraining": {"labels": sparse, "sentence_order_label": rng.integers(0, 2, B)},
               "AlbertForMaskedLM": {"labels": sparse}, "AlbertModel": {},
               "AlbertForTokenClassification": {"labels": np.where(sparse < 0, -100, sparse % 5)},
               "AlbertForQuestionAnswering": {"start_positions": rng.integers(0, T, B),
                                              "end_positions": np.array([*rng.integers(0, T, B - 1), 99])},
               "regression": {"labels": rng.random(B)}, "multi_label": {"labels": rng.integers(0, 2, (B, 3)) * 1.0}}
    return {**b, **targets.get(kind, {"labels": rng.integers(0, 3, B)})}


def hiding(lengths, T, padding, rng):
    """(..., 1) -> (..., T): which places are tokens."""
    if padding == "left":
        return np.arange(T) >= T - lengths
    if padding == "anywhere":
        return (rng.random((*lengths.shape[:-1], T)) < 0.5) | (np.arange(T) == T // 2)
    return np.arange(T) < lengths


def tensors(b, dtype):
    return {k: torch.from_numpy(v.astype(dtype) if v.dtype.kind == "f" else v.astype(np.int64)) for k, v in b.items()}


def close(ours, theirs, tolerance, what):
    """Largest difference relative to the largest value."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, what
    scale, difference = np.abs(theirs).max(), np.abs(ours - theirs).max()
    assert difference <= tolerance * scale + 1e-12, f"{what}: difference {difference:.2e}, scale {scale:.2e}"


OUTPUTS = ("last_hidden_state", "pooler_output", "prediction_logits", "sop_logits", "logits", "start_logits", "end_logits")


def compare(kind, config, dtype, seed=0, **size):
    ours, theirs = twins(kind, config, dtype, seed)
    b, tolerance = batch(kind, config, np.random.default_rng(seed), **size), TOLERANCE[dtype]
    out, want = ours(**b), theirs(**tensors(b, dtype))
    compared = [name for name in OUTPUTS if name in want and name in out.keys()]
    assert compared
    for name in compared:
        close(out[name].data, want[name], tolerance, name)
    if kind == "AlbertModel":                    # no loss of its own: one that every output enters
        loss, want_loss = (out.last_hidden_state * out.last_hidden_state).sum() + out.pooler_output.sum(), \
            (want.last_hidden_state ** 2).sum() + want.pooler_output.sum()
    else:
        loss, want_loss = out.loss, want.loss
    close(loss.data, want_loss, tolerance, "loss")
    want_loss.backward()
    gradients, their_parameters = backward(loss), dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        g = their_parameters[name].grad
        if g is None:
            assert p not in gradients, name
        elif name in vanishing(kind, name):
            scale = their_parameters[name.replace("bias", "weight")].grad.abs().max().item()
            assert max(np.abs(gradients[p]).max(), g.abs().max().item()) <= tolerance * scale, name
        else:
            close(gradients[p], g, tolerance, f"gradient of {name}")


def vanishing(kind, name):
    """Parameters whose gradient is 0 but for rounding: they shift all arguments of one softmax alike."""
    heads = {"AlbertForQuestionAnswering": ["qa_outputs.bias"], "AlbertForMultipleChoice": ["classifier.bias"]}
    return heads.get(kind, []) + [name] * name.endswith("attention.key.bias")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("changes", CONFIGS)
def test_configurations(changes, dtype):
    compare("AlbertForPreTraining", small(**CONFIGS[changes]), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", HEADS)
def test_heads(kind, dtype):
    compare(kind, small(**HEADS[kind]), dtype, seed=1)


@pytest.mark.parametrize("padding", ["left", "anywhere"])
@pytest.mark.parametrize("kind", HEADS)
def test_padding_at_any_place(kind, padding):
    """Positions count from the first place of a row and the pooler reads it, whatever is hidden."""
    compare(kind, small(**HEADS[kind]), np.float32, seed=2, padding=padding)


def test_base_v2():
    compare("AlbertForPreTraining", AlbertConfig.preset("base_v2", num_hidden_layers=12), np.float64, B=2, T=12)


def test_hidden_states_and_attentions():
    config = small(num_hidden_groups=2)
    ours, theirs = twins("AlbertModel", config, np.float64)
    b = batch("AlbertModel", config, np.random.default_rng(0))
    out, want = (model(**x, output_hidden_states=True, output_attentions=True)
                 for model, x in ((ours, b), (theirs, tensors(b, np.float64))))
    for name in ("hidden_states", "attentions"):
        for got, wanted in zip(out[name], want[name], strict=True):
            close(got.data, wanted, 1e-10, name)


@pytest.mark.parametrize("kind", [k for k in HEADS if k.startswith("Albert")])
def test_ours_load_there(kind):
    """No missing, no unexpected name, and the same numbers come out."""
    config = small(**HEADS[kind])
    ours, (cls, their_config) = ours_of(kind)(config, seed=3), theirs_of(kind, config)
    state = {n: torch.from_numpy(a.copy()) for n, a in ours.state_dict().items()}
    theirs, info = cls.from_pretrained(None, config=their_config, state_dict=state, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    for name, a in state_of(theirs, ours.state_dict()).items():
        np.testing.assert_array_equal(a, ours.state_dict()[name])


def test_ten_adamw_steps_stay_together():
    config = small()
    ours, theirs = twins("AlbertForPreTraining", config, np.float64)
    start = {name: a.copy() for name, a in ours.state_dict().items()}
    options = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
    optimizer = AdamW(ours.named_parameters(), **options, bias_correction=True, exclude="$^")
    their_optimizer = torch.optim.AdamW(theirs.parameters(), **options)
    for step in range(10):
        b = batch("AlbertForPreTraining", config, np.random.default_rng(step))
        loss, want = ours(**b).loss, theirs(**tensors(b, np.float64)).loss
        assert loss.item() == pytest.approx(want.item(), rel=1e-9), step
        optimizer.step(backward(loss))
        their_optimizer.zero_grad()
        want.backward()
        their_optimizer.step()
    theirs_now = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        close(p.data, theirs_now[name], 1e-8, name)
        if not name.endswith("key.bias"):        # no gradient: only the decay moves it
            assert np.abs(p.data - start[name]).max() > 1e-2, name


@pytest.mark.parametrize("kind", [k for k in HEADS if k.startswith("Albert")])
def test_folders_travel_both_ways(kind, tmp_path):
    config = small(**HEADS[kind])
    _, theirs = twins(kind, config, np.float32)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = ours_of(kind).from_pretrained(tmp_path / "theirs")
    assert ours.config.num_labels == config.num_labels
    ours.save_pretrained(tmp_path / "ours")
    again, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    for name, a in theirs.state_dict().items():
        assert torch.equal(a, again.state_dict()[name]), name
        if "decoder" not in name:
            np.testing.assert_array_equal(a.numpy(), ours.state_dict()[name])


# --- BERT: the same code with nothing shared --------------------------------------------------------------

@pytest.mark.parametrize("kind", ["BertModel", "BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification",
                                  "BertForTokenClassification", "BertForQuestionAnswering", "BertForMultipleChoice"])
@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_their_berts_open_here(kind, act, tmp_path):
    their_config = transformers.BertConfig(
        vocab_size=31, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=20, hidden_act=act,
        max_position_embeddings=12, num_labels=2 if kind == "BertForQuestionAnswering" else 3, attn_implementation="eager")
    torch.manual_seed(0)
    theirs = getattr(transformers, kind)(their_config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    theirs.save_pretrained(tmp_path)
    own = kind.replace("Bert", "Albert")
    ours = ours_of(own).from_pretrained(tmp_path)
    assert not (ours.restore_report.missing + ours.restore_report.unexpected)
    b = batch(own, ours.config, np.random.default_rng(1))
    inputs = {name: b[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    out, want = ours(**inputs), theirs(**tensors(inputs, np.float32))
    names = {"sop_logits": "seq_relationship_logits"}
    compared = [name for name in OUTPUTS if names.get(name, name) in want and name in out.keys()]
    assert compared
    for name in compared:
        close(out[name].data, want[names.get(name, name)], 1e-5, name)
