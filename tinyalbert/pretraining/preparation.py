"""From text to what a pretraining run reads: a vocabulary and a folder of token ids.

Each is made unless it is there already.
"""

from pathlib import Path

from ..errors import UserError
from ..files.taken import taken
from ..text.tokenizer import AlbertTokenizer, has_tokenizer
from .corpus import as_list, check_sources, documents, source_bytes
from .report import describe_corpus
from .shards import COMPLETE, PARTIAL, Shards, check_target, fingerprint, prepare


def train_tokenizer(
    sources,
    vocab_size,
    output_dir,
    format=None,
    *,
    progress=True,
    say=None,
    account=None,
    **preparation,
):
    """Learn a SentencePiece vocabulary from corpora and save it; returns the AlbertTokenizer.

    account: an Account to be filled with what was read.  preparation: keep_accents, do_lower_case.
    """
    if (Path(output_dir) / "model.safetensors").exists():
        raise UserError(
            f"{output_dir} holds a model, which needs the vocabulary that it has; choose another "
            f"folder"
        )
    check_sources(sources, output_dir)
    with taken(output_dir):
        sentences = _sentences(sources, format, progress, say or (lambda text: None), account)
        tokenizer = AlbertTokenizer.train(sentences, vocab_size, **preparation)
        tokenizer.save_pretrained(output_dir)
    return tokenizer


def _sentences(sources, format, progress, say, account):
    """All sentences of the sources, with a progress bar.

    Says when they are read, since SentencePiece is silent while it chooses the pieces.
    """
    from tqdm import tqdm

    size = source_bytes(sources)
    bar = tqdm(
        total=size,
        unit="B" if size else " sentences",
        unit_scale=True,
        desc="read",
        disable=None if progress else True,
    )
    with bar:
        advance = bar.update if size else lambda read: None
        for document in documents(sources, format, advance, account):
            bar.update(0 if size else len(document))
            yield from document
    say("  the text is read; SentencePiece chooses the pieces, silently")


def is_prepared(source):
    """Whether `source` is a folder that `prepare` wrote."""
    try:
        return any((Path(source) / place / COMPLETE).is_file() for place in ("", PARTIAL))
    except (OSError, ValueError):  # a name that no folder can have
        return False


def prepared_folder(options, ranks, say, progress):
    """The prepared folder of a run: the one given, or output/data made from the sources.

    options: PretrainOptions, resolved.
    """
    tokenizer = _given_tokenizer(options)
    sources = as_list(options.sources)
    ready = len(sources) == 1 and is_prepared(sources[0])
    if (options.cased or options.keep_accents) and (tokenizer or ready):
        raise UserError(
            "--cased and --keep-accents are for a vocabulary that is learned, and there is one "
            "already; leave them out, or give them to `tinyalbert tokenizer`"
        )
    if ready:
        return _checked_folder(sources[0], tokenizer, options.vocab_size)
    asked = options.vocab_size
    if tokenizer and asked and asked != tokenizer.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, not {asked}; leave out the "
            "tokenizer (--tokenizer) or vocab_size (--vocab-size)"
        )
    folder = Path(options.output) / "data"
    check_sources(sources, options.output)
    check_target(folder, overwrite=True)
    if tokenizer is None and ranks.rank == 0:
        tokenizer = _learned_tokenizer(options, say, progress)
    ranks.barrier()
    if ranks.rank == 0:
        say(f"turning the text into token ids, in {folder}")
    meta = prepare(
        sources,
        tokenizer,
        folder,
        workers=options.workers,
        held_out=options.held_out,
        seed=options.seed,
        format=options.format,
        overwrite=True,
        progress=progress,
    )
    ranks.barrier()
    if meta:  # of the first process
        say(describe_corpus(meta))
    return folder.resolve()


def _given_tokenizer(options):
    """The tokenizer that was given, or that of the model to start from, or None.

    If both have one, they must be the same.
    """
    folders = [options.tokenizer, options.init]
    if options.tokenizer and options.init and not has_tokenizer(options.init):
        folders = [options.tokenizer]
    given = [AlbertTokenizer.from_pretrained(folder) for folder in folders if folder]
    if len({fingerprint(tokenizer) for tokenizer in given}) > 1:
        raise UserError(
            f"the tokenizer of {options.tokenizer} is not the one of {options.init}, whose weights "
            "mean other pieces; leave out the tokenizer (--tokenizer)"
        )
    return given[0] if given else None


def _checked_folder(folder, tokenizer, vocab_size):
    """A prepared folder's path, if it agrees with the tokenizer and vocabulary asked for."""
    shards = Shards(folder)
    if tokenizer:
        shards.check_tokenizer(tokenizer)
    if vocab_size and vocab_size != shards.meta["vocab_size"]:
        raise UserError(
            f"{folder} is prepared with a vocabulary of {shards.meta['vocab_size']}, not "
            f"{vocab_size}; leave out vocab_size (--vocab-size), or prepare the text again"
        )
    return Path(folder).resolve()


def _learned_tokenizer(options, say, progress):
    """A vocabulary of the size that was asked for, or else as large as the text supports."""

    def learn(vocab_size):
        say(f"learning a vocabulary of {vocab_size:,} pieces")
        return train_tokenizer(
            options.sources,
            vocab_size,
            options.output,
            options.format,
            keep_accents=options.keep_accents,
            do_lower_case=not options.cased,
            progress=progress,
            say=say,
        )

    vocab_size = options.model_config["vocab_size"]
    try:
        return learn(vocab_size)
    except UserError as refusal:  # a size that nobody asked for gives way to a small text
        if options.vocab_size or not hasattr(refusal, "largest"):
            raise
        say(f"this text supports {refusal.largest} pieces")
        return learn(refusal.largest)
