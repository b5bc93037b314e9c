#!/usr/bin/env python3
"""The whole of ALBERT in a few minutes: vocabulary, corpus, pretraining, fine-tuning, on built-in
stories.

    python3 scripts/quickstart.py                 everything into ./quickstart
    python3 scripts/quickstart.py --output DIR    elsewhere
    python3 scripts/quickstart.py --minutes 1     less pretraining, worse numbers

Makes .venv with what it needs.  Every stage prints how long it took and the command that does it on
your own text."""

import argparse
import shutil
import sys
import textwrap
import time
from pathlib import Path

import environment

# Sentences that are not in the stories but could be; what fits at the mask follows from the rest.
MASKED = [
    "The sky turned dark, and the first drops of [MASK] fell on the roofs.",
    "Jakob and Lara rowed up and down to win the boat [MASK].",
    '"How can I ever [MASK] you?" Ivan asked Marta.',
    "Klaus burned the onion [MASK] and served dry bread.",
]
TASK, LABELLED, HELD_OUT = "order", 400, 400


class Stages:
    """Prints what is being done, then its time and the command for one's own data."""

    def __init__(self):
        self.begun, self.times = time.perf_counter(), []

    def run(self, title, function, command):
        """Call function() as one stage; returns its result."""
        print(f"\n== {title}", flush=True)
        start = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - start
        self.times.append((title, seconds))
        print(f"   {seconds:.0f} s.  On your own data:\n     {command}", flush=True)
        return result


def show_masks(folder):
    """The model's three best words for a few masks."""
    from tinyalbert import pipeline

    fill = pipeline("fill-mask", folder)
    for text in MASKED:
        print(f"   {text:71s}{', '.join(a['token_str'] for a in fill(text, top_k=3))}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", default="quickstart", help="folder to make (default: quickstart)"
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="of pretraining (default: 4)")
    parser.add_argument(
        "--stories", type=int, default=20000, help="how many to read (default: 20000)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")
    options = parser.parse_args()
    output = Path(options.output)
    if output.exists() and not (options.overwrite and (output / "vocabulary").is_dir()):
        sys.exit(
            f"{output} is there already; name another --output, or --overwrite to replace an "
            f"earlier run of this"
        )
    environment.enter(["lessons", "baselines"])

    shutil.rmtree(output, ignore_errors=True)
    vocabulary, data, model = output / "vocabulary", output / "data", output / "model"
    stages = Stages()

    def learn_vocabulary():
        from tinyalbert.pretraining.preparation import train_tokenizer

        tokenizer = train_tokenizer([f"stories:{min(4000, options.stories)}"], 1200, vocabulary)
        print(
            f"   {tokenizer.vocab_size} pieces; 'unhappily lost' is "
            f"{' '.join(tokenizer.tokenize('unhappily lost'))}"
        )
        return tokenizer

    tokenizer = stages.run(
        "learning a SentencePiece vocabulary",
        learn_vocabulary,
        f"tinyalbert tokenizer my_text.txt --vocab-size 8000 --output {vocabulary}",
    )

    def prepare_corpus():
        from tinyalbert.pretraining.report import describe_corpus
        from tinyalbert.pretraining.shards import prepare

        meta = prepare([f"stories:{options.stories}"], tokenizer, data)
        print(f"   {describe_corpus(meta)}")

    stages.run(
        "preparing a corpus of stories",
        prepare_corpus,
        f"tinyalbert prepare my_text.txt --tokenizer {vocabulary} --output {data}",
    )

    print("\n== before training, the masks are filled at random")
    from tinyalbert import AlbertConfig, AlbertForPreTraining

    size = AlbertConfig.preset("mini", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(size).save_pretrained(output / "untrained", tokenizer)
    show_masks(output / "untrained")

    def pretraining():
        from tinyalbert.pretraining.pretrain import pretrain

        return pretrain(
            [str(data)],
            model,
            preset="mini",
            minutes=options.minutes,
            max_seq_length=128,  # two times three sentences, as in the task below
            eval_every=250,
            say=lambda text: print(textwrap.indent(text, "   "), flush=True),
        )

    metrics = stages.run(
        "pretraining on masked words and sentence order",
        pretraining,
        f"tinyalbert pretrain {data} --preset mini --minutes 30 --output {model}",
    )
    commonest = commonest_piece_share(data)
    print(
        f"   masked words on held-out stories     {metrics['mlm_accuracy']:6.1%} right   "
        f"(always the commonest piece: {commonest:.1%})"
    )
    print(
        f"   sentence order on held-out stories   {metrics['sop_accuracy']:6.1%} right   "
        f"(guessing: 50.0%)"
    )
    print("\n== after training")
    show_masks(model)

    def finetuning():
        from tinyalbert.tasks.finetune import finetune

        results = {}
        for name, random_init in (("pretrained", False), ("the same from random values", True)):
            results[name] = finetune(
                f"stories:{TASK}:{LABELLED}",
                f"stories:{TASK}:{HELD_OUT}",
                output / ("from-random" if random_init else "classifier"),
                model=str(model),
                random_init=random_init,
                epochs=5,
                lr=2e-4,  # 400 rows are few: longer steps learn them by heart
                progress=False,
                say=lambda text: None,
            )
        return results

    results = stages.run(
        f"fine-tuning on {LABELLED} labelled pairs of passages: which comes first in the story?",
        finetuning,
        f"tinyalbert finetune my_table.tsv --model {model} --output {output / 'classifier'}",
    )
    print("   right answers on new people and new ways of telling:")
    for name, result in results.items():
        print(f"   {name:32s}{result['metrics']['accuracy']:6.1%}")
    for name, accuracy in results["pretrained"]["baselines"].items():
        print(f"   {'baseline: ' + name:32s}{accuracy:6.1%}")
    print(results["pretrained"]["confusion"].replace("\n", "\n   ").join(["   ", ""]))

    print(
        f"\n{time.perf_counter() - stages.begun:.0f} s in all: "
        + ", ".join(f"{title.split()[0]} {seconds:.0f} s" for title, seconds in stages.times)
    )
    print(f"""
In {output}/model: config.json, model.safetensors, spiece.model (open the folder with transformers if you like),
log.jsonl, loss.png.  Try next:
   .venv/bin/tinyalbert fill-mask {output}/model "The old [MASK] was lost in the forest."
   .venv/bin/tinyalbert predict {output}/classifier stories:{TASK}:20 --output {output}/predictions.tsv
   .venv/bin/python lessons/00_tour.py
These stories are a world of their own: the numbers say nothing about natural language.  Your own text does.""")


def commonest_piece_share(data):
    """Share of the commonest piece in the held-out text: what a model without context gets
    right.
    """
    from tinyalbert.pretraining.shards import Shards

    shards = Shards(data)
    counts = shards.piece_counts(shards.split("held_out"))
    return counts.max() / counts.sum()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nstopped; --overwrite begins anew", file=sys.stderr)
        sys.exit(130)
