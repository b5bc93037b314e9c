#!/usr/bin/env python3
"""What gets a small ALBERT off the unigram plateau: the recipe, and the recipe with one thing
changed.

    python3 scripts/plateau.py runs/data                     every variant, 2500 steps each, into runs/plateau
    python3 scripts/plateau.py runs/data --preset small      another size
    python3 scripts/plateau.py --list                        the variants

DATA is a folder made by `tinyalbert prepare`, of real text: the built-in stories are too regular to
show a plateau. A variant that was trained already is not trained again, so a run that was stopped
goes on."""

import argparse
import sys
from pathlib import Path

import environment

# Of the recipe's stages the first one only: the plateau is left there, or not.
FIRST_STAGE = dict(max_seq_length=64, stages=(), decay=1.0)
VARIANTS = {
    "recipe": {},
    "attention from random values": dict(mimetic=False),
    "the same, 16 tokens at first": dict(
        mimetic=False, stages=(dict(share=0.4, length=16, times=4), dict(share=0.6, length=64))
    ),
    "beta2 0.999": dict(betas=(0.9, 0.999)),
    "beta2 0.999, attention from random values": dict(betas=(0.9, 0.999), mimetic=False),
    "bias of the decoder from 0": dict(frequency_bias=False),
    "LAMB, learning rate 0.005": dict(optimizer="lamb", lr=5e-3),
    "runs of up to 3 words masked": dict(ngram=3, whole_word=True),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="prepared folder")
    parser.add_argument("--preset", default="mini", help="size and recipe (default: mini)")
    parser.add_argument("--steps", type=int, default=2500, help="of each run (default: 2500)")
    parser.add_argument(
        "--only", nargs="+", metavar="VARIANT", choices=list(VARIANTS), default=list(VARIANTS)
    )
    parser.add_argument("--list", action="store_true", help="name the variants")
    parser.add_argument("--output", default="runs/plateau", help="folder (default: runs/plateau)")
    options = parser.parse_args()
    if options.list or not options.data:
        print(
            "\n".join(
                f"{name:42s}{changes or 'as in pretraining/recipes.py'}"
                for name, changes in VARIANTS.items()
            )
        )
        return 0 if options.list else 2
    environment.enter(["lessons"])

    from tinyalbert.plots import plot_comparison, read_log
    from tinyalbert.pretraining.pretrain import pretrain

    logs = {}
    for name in options.only:
        folder = Path(options.output) / options.preset / name.replace(" ", "_").replace(",", "")
        if not (
            folder / "loss.png"
        ).exists():  # drawn last: without it the run was stopped on its way
            print(f"\n== {name}", flush=True)
            pretrain(
                [options.data],
                folder,
                preset=options.preset,
                steps=options.steps,
                resume=folder.exists(),
                eval_every=max(1, options.steps // 20),
                **{**FIRST_STAGE, **VARIANTS[name]},
            )
        logs[name] = folder
    print()
    for name, folder in logs.items():
        last = read_log(folder)["eval"][-1]
        print(
            f"{name:42s}masked-word loss {last['mlm_loss']:.2f}, sentence order "
            f"{last['sop_accuracy']:.1%}"
        )
    print(f"curves in {plot_comparison(logs, Path(options.output) / f'{options.preset}.png')}")


if __name__ == "__main__":
    sys.exit(main())
