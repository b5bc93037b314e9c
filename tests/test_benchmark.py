"""The benchmark's own parts, not its timings: what it compares with does the same work."""

import sys
from pathlib import Path

import fakecupy
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import benchmark  # noqa: E402

from tinyalbert import AlbertConfig, AlbertForPreTraining  # noqa: E402
from tinyalbert.pretraining.corpus import documents  # noqa: E402
from tinyalbert.pretraining.pretrain import train_tokenizer  # noqa: E402


def test_line_by_line_reads_the_same_pieces(tmp_path):
    tokenizer = train_tokenizer(["stories:100"], 300, tmp_path / "t")
    lines = [line for document in documents(["stories:20"]) for line in (*document, "")]
    lines += ["in 1999, 12,000 men; a, b", "Ünïcode ``quoted''"]
    found = benchmark.line_by_line(lines, str(tmp_path / "t" / "spiece.model"), max_seq_length=32)
    assert found == sum(len(tokenizer.tokenize(line)) for line in lines)


@pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="counts NumPy's products")
def test_the_floor_has_the_products_of_the_step():
    """Counted in a real forward pass: every product with a weight; backward has two for each."""
    config = AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
                          intermediate_size=64, max_position_embeddings=32)
    batch, real, done = benchmark.pretraining_batch(4, 32, 50), np.matmul, []

    class Counting(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            plain = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
            options = {k: tuple(np.asarray(o) for o in v) if k == "out" else v for k, v in options.items()}
            if ufunc is real and all(x.ndim == 2 for x in plain):
                done.append(plain[0].shape[0] * plain[0].shape[1] * plain[1].shape[1])
            return getattr(ufunc, method)(*plain, **options)

    model = AlbertForPreTraining(config)
    for p in model.parameters():
        p.data = p.data.view(Counting)
    model(**batch)
    read = benchmark.rows_read(batch["labels"])[0].size
    wanted = benchmark.products(config, 4, 32, int((batch["labels"] != -100).sum()), read)
    pooler_and_order = 4 * 16 * 16 + 4 * 16 * 2                # left out of the floor: a few rows
    assert sum(done) == sum(m * k * n * times for m, k, n, times in wanted) // 3 + pooler_and_order


def test_the_picture_of_growth(tmp_path):
    points = [(1, 0.1, 50.0, 0.5), (2, 0.2, 60.0, 0.6)]
    benchmark.draw_growth(dict.fromkeys(("L", "T", "V", "threads"), points), tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 0


def test_rows_are_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--list"])
    benchmark.main()
    assert set(capsys.readouterr().out.split()) >= {"step", "small", "growth", "prepare"}
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--device", "gpu", "--rows", "growth"])
    with pytest.raises(SystemExit):
        benchmark.main()


@pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="brings its own stand-in for a GPU")
def test_our_side_of_the_rows_runs_on_a_device(monkeypatch, capsys):
    tiny = dict(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                intermediate_size=32)
    for name, value in (("MEDIUM", tiny), ("SMALL", tiny), ("DEVICE", "cpu")):
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(benchmark.torch_side, "versions", dict)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--quick", "--device", "gpu", "--rows", "step", "small", "dropout"])
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    fakecupy.reset_counts()
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 3 and all(int(line.split("tokens/s")[0].split()[-1].replace(",", "")) > 0 for line in lines)
    assert fakecupy.counts["sync"] >= 3 * 4 and fakecupy.counts["launch"] > 1000       # each step is waited for
