"""The decoder: causal, the same with and without a cache, its gradients right; its loss adds up when a batch is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from test_albert import batch, shaken, tiny

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertForTranslation, Trainer
from tinyalbert.decoder import (
    DECODER,
    DecoderConfig,
    causal_bias,
    shifted,
    smoothed_cross_entropy,
)
from tinyalbert.errors import UserError
from tinyalbert.files.checkpoint import read_config
from tinyalbert.generation import beam_search, greedy_search
from tinyalbert.gradcheck import gradcheck
from tinyalbert.modes import use_kernels
from tinyalbert.nn import DropoutRng
from tinyalbert.tensor import Tensor, backward

V, S, END = 13, 6, 3                             # of the target: pieces, the longest text, the end
WITHOUT_DROPOUT = {"dropout": 0.0, "label_smoothing": 0.0}


def make(seed, B=4, encoder=None, **decoder):
    """A model in float64, in training mode, and a batch for it."""
    rng = np.random.default_rng(seed)
    config = tiny(extra={DECODER: {"vocab_size": V, "max_position_embeddings": S, **WITHOUT_DROPOUT, **decoder}},
                  **(encoder or {}))
    model, b = shaken(AlbertForTranslation(config, seed=0), seed).train(), batch(rng, B=B)
    lengths = rng.integers(1, S + 1, (B, 1))
    labels = np.where(np.arange(S) < lengths - 1, rng.integers(4, V, (B, S)), END)
    labels = np.where(np.arange(S) < lengths, labels, -100)
    return model, {name: b[name] for name in ("input_ids", "attention_mask", "token_type_ids")} | {"labels": labels}


SIZES = st.sampled_from([{}, {"hidden_size": 6, "intermediate_size": 5}, {"num_hidden_layers": 1, "num_attention_heads": 4}])


@given(seed=seeds, sizes=SIZES, place=st.integers(1, S - 1))
def test_a_later_piece_changes_nothing_before_it(seed, sizes, place):
    model, b = make(seed, **sizes)
    rng, source = np.random.default_rng(seed), {k: v for k, v in b.items() if k != "labels"}
    ids = rng.integers(0, V, (4, S))
    changed = ids.copy()
    changed[:, place:] = rng.integers(0, V, (4, S - place))
    before, after = (model(**source, decoder_input_ids=each).logits.data for each in (ids, changed))
    np.testing.assert_allclose(after[:, :place], before[:, :place], rtol=1e-12, atol=1e-12)
    assert (ids == changed).all() or abs(after - before).max() > 1e-6


@given(seed=seeds, sizes=SIZES, cuts=st.sets(st.integers(1, S - 1)))
def test_with_the_past_it_is_the_same_as_without(seed, sizes, cuts):
    """Cut anywhere, into single pieces or longer parts."""
    model, b = make(seed, **sizes)
    ids = np.random.default_rng(seed).integers(0, V, (4, S))
    states, padding = model.read(b["input_ids"], b["attention_mask"], b["token_type_ids"])
    source, past, parts = model.decoder.look(states), None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), S]):
        hidden, past = model.decoder(ids[:, start:stop], source, padding, past)
        parts.append(hidden.data)
    whole, _ = model.decoder(ids, source, padding)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole.data, rtol=1e-10, atol=1e-12)


class Uncached:
    """decoder.Writing as its definition: everything is computed anew for each piece."""

    def __init__(self, model, **source):
        self.model, self.source = model, source
        self.ids = np.zeros((len(source["input_ids"]), 0), np.int64)

    def scores(self, ids):
        self.ids = np.concatenate([self.ids, np.asarray(ids)[:, None]], axis=1)
        return self.model(**self.source, decoder_input_ids=self.ids).logits.numpy()[:, -1]

    def keep(self, rows):
        rows = np.asarray(rows, dtype=np.int64)
        self.ids, self.source = self.ids[rows], {name: a[rows] for name, a in self.source.items()}


@settings(max_examples=15)
@given(seed=seeds, width=st.integers(1, 4), sizes=SIZES)
def test_cached_search_writes_what_uncached_search_writes(seed, width, sizes):
    model, b = make(seed, **sizes)
    del b["labels"]
    model.eval()
    limits = np.random.default_rng(seed).integers(1, S + 1, 4).tolist()
    for search in (greedy_search, lambda *args: beam_search(*args, width, 0.6)):
        assert search(model.write(**b), limits, 2, END) == search(Uncached(model, **b), limits, 2, END)


@settings(max_examples=15)
@given(seed=seeds, width=st.integers(1, 4))
def test_a_text_is_written_the_same_in_any_batch_and_order(seed, width):
    """Also with other padding, in float64, where no two scores are nearly equal."""
    model, b = make(seed)
    del b["labels"]
    model.eval()
    together = beam_search(model.write(**b), [S] * 4, 2, END, width, 0.6)
    order = np.random.default_rng(seed).permutation(4)
    assert beam_search(model.write(**{k: a[order] for k, a in b.items()}), [S] * 4, 2, END, width, 0.6) == [
        together[i] for i in order]
    for i in range(4):
        T = b["attention_mask"][i].sum()
        alone = {name: a[i:i + 1, :T] for name, a in b.items()}
        assert beam_search(model.write(**alone), [S], 2, END, width, 0.6) == [together[i]]


PARTS = ("albert.", "word_embeddings", "position", "cross", "attention", "ffn", "")      # by what is in a name


@settings(max_examples=6)
@given(seed=seeds, sizes=SIZES, smoothing=st.sampled_from([0.0, 0.2]))
def test_the_gradient_of_the_loss(seed, sizes, smoothing):
    """Along a random direction of each part's parameters, as one vector, at the tolerance of single ops."""
    model, b = make(seed, label_smoothing=smoothing, **sizes)
    parts = {part: [] for part in PARTS}
    for name, p in model.named_parameters():
        parts[next(part for part in PARTS if part in name)].append(p)
    assert all(parts.values())

    def loss(*vectors):
        for parameters, vector in zip(parts.values(), vectors):
            for p, a in zip(parameters, np.split(vector, np.cumsum([p.size for p in parameters])[:-1])):
                p.data = a.reshape(p.shape)
        out = model(**b).loss

        def vjp(g):
            gradients = backward(out, np.asarray(g))
            return [np.concatenate([gradients.get(p, 0 * p.data).reshape(-1) for p in some]) for some in parts.values()]
        return out.data, vjp
    gradcheck(loss, *(np.concatenate([p.data.reshape(-1) for p in some]) for some in parts.values()),
              rng=np.random.default_rng(seed), h=1e-6)


@settings(max_examples=6)
@given(seed=seeds)
def test_the_kernels_change_no_loss_and_no_gradient(seed):
    """Dropout included."""
    model, b = make(seed, dropout=0.2, label_smoothing=0.1)
    results = []
    for kernels in (False, True):
        with use_kernels(kernels):
            loss = model(**b, rng=DropoutRng(seed)).loss
            results.append((loss.data, backward(loss)))
    (plain, want), (fast, got) = results
    np.testing.assert_allclose(fast, plain, rtol=1e-11)
    scale = max(abs(g).max() for g in want.values())
    for name, p in model.named_parameters():
        assert (p in want) == (p in got), name
        if p in want:
            np.testing.assert_allclose(got[p], want[p], rtol=1e-9, atol=1e-11 * scale, err_msg=name)


@given(seed=seeds, smoothing=st.sampled_from([0.0, 0.1]))
def test_a_cut_batch_has_the_loss_of_the_whole(seed, smoothing):
    model, b = make(seed, label_smoothing=smoothing)
    parts, total, loss = [{k: v[rows] for k, v in b.items()} for rows in (slice(0, 1), slice(1, 4))], model.loss_counts(**b), 0
    for part in parts:
        loss += model(**part).losses["translation"].item() * model.loss_counts(**part)["translation"]
    assert loss / total["translation"] == pytest.approx(model(**b).loss.item(), rel=1e-11)


@settings(max_examples=5)
@given(seed=seeds)
def test_threads_and_accumulation_train_the_same_model(seed):
    trained = []
    for options in ({"threads": 1}, {"threads": 2}, {"threads": 1, "accumulation": 2}):
        model, b = make(seed, dropout=0.2, label_smoothing=0.1)
        trainer = Trainer(model, lr=1e-3, **options)
        losses = [trainer.step(b)["translation_loss"] for _ in range(2)]
        trained.append((losses, model.state_dict()))
    for losses, state in trained[1:]:
        assert losses == pytest.approx(trained[0][0], rel=1e-10)
        for name, a in state.items():
            np.testing.assert_allclose(a, trained[0][1][name], rtol=1e-7, atol=1e-9, err_msg=name)


@given(seed=seeds, smoothing=st.floats(0, 0.9))
def test_smoothing_is_the_cross_entropy_with_a_smooth_target(seed, smoothing):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((3, 4, V))
    labels = np.where(rng.random((3, 4)) < 0.3, -100, rng.integers(0, V, (3, 4)))
    labels[0, 0] = 5
    target = (1 - smoothing) * np.eye(V)[np.where(labels < 0, 0, labels)] + smoothing / V
    logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    want = -(target * logp).sum(axis=-1)[labels >= 0].mean()
    np.testing.assert_allclose(smoothed_cross_entropy(Tensor(logits), labels, smoothing).data, want, rtol=1e-12)


def test_smoothing_is_for_training_only():
    model, b = make(0, label_smoothing=0.3)
    smooth = model(**b).loss.item()
    plain = model.eval()(**b).loss.item()
    assert smooth != plain == pytest.approx(make(0)[0](**b).loss.item())


def test_what_the_decoder_reads_and_sees():
    labels = np.array([[7, 8, END], [9, END, -100]])
    assert shifted(labels, 2).tolist() == [[2, 7, 8], [2, 9, END]]
    assert (causal_bias(2, 4, np.float32)[0, 0] < 0).tolist() == [[False, False, False, True], [False] * 4]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_and_draws_no_dropout(frozen):
    model, b = make(1, freeze_encoder=frozen, encoder={"hidden_dropout_prob": 0.3})
    before = {name: a.copy() for name, a in model.state_dict().items()}
    trainer = Trainer(model, lr=1e-2, threads=1)
    trainer.step(b)
    same = {name for name, a in model.state_dict().items() if (a == before[name]).all()}
    encoder = {name for name in before if name.startswith("albert.")}
    assert same & encoder == (encoder if frozen else set()) and not same - encoder
    assert model.albert.training == (not frozen) and model.decoder.training


def test_it_is_saved_and_loaded_and_starts_from_a_pretrained_folder(tmp_path):
    config = tiny(extra={DECODER: {"vocab_size": V, "hidden_size": 6, "max_position_embeddings": S}})
    pretrained = AlbertForPreTraining(tiny(), seed=3)
    pretrained.save_pretrained(tmp_path / "pretrained")
    with pytest.warns(UserWarning, match="decoder.word_embeddings"):
        model = AlbertForTranslation.from_pretrained(tmp_path / "pretrained", config=config)
    np.testing.assert_array_equal(model.albert.embeddings.word_embeddings.weight.data,
                                  pretrained.albert.embeddings.word_embeddings.weight.data)
    model.save_pretrained(tmp_path / "saved")
    again = AlbertForTranslation.from_pretrained(tmp_path / "saved", seed=5)
    assert again.decoder_config == DecoderConfig.of(config) == DecoderConfig.of(read_config(tmp_path / "saved"))
    for name, a in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], a)
    assert AlbertForTranslation(config, seed=None).num_parameters() == model.num_parameters()


@pytest.mark.parametrize("values, words", [
    ({"hidden_size": 7}, "width 7 can't be split over 2 heads"), ({"layers": 2}, "translation_decoder has layers"),
    ({"vocab_size": "many"}, "vocab_size is 'many'"), ({"num_hidden_layers": 0}, "at least 1"),
    ({"dropout": 1.5}, "0 to below 1")])
def test_a_config_that_makes_no_decoder_is_refused(values, words):
    with pytest.raises(UserError, match=words):
        AlbertForTranslation(AlbertConfig(**{**vars(tiny()), "extra": {DECODER: values}}))


def test_what_does_not_fit_is_refused():
    model, b = make(0)
    for change, words in (({"labels": b["labels"] + V}, "labels from"), ({"labels": None}, "model.write"),
                          ({"decoder_input_ids": np.full((4, S), V)}, "decoder_input_ids from"),
                          ({"labels": np.full((4, S + 1), 5)}, f"{S + 1} pieces.*for {S}")):
        with pytest.raises(UserError, match=words):
            model(**{**b, **change})
