"""`tinyalbert judge`: a folder, files of minimal pairs, and a table of verdicts."""

from tqdm import tqdm

from ..heads import AlbertForMaskedLM
from ..text.tokenizer import AlbertTokenizer
from ..training.replicas import Threads
from .inference import check_fits, check_output_file, load_trained
from .minimal_pairs import judge, own_corpus, read_sets
from .tables import write_table


def judge_folder(options, say):
    """The rows of minimal_pairs.judge for a pretrained folder; options: JudgeOptions."""
    if options.output:
        check_output_file(options.output, *options.pairs)
    sets = [
        each
        for source in options.pairs
        for each in read_sets(source, options.first, options.encoding, say)
    ]
    tokenizer = AlbertTokenizer.from_pretrained(options.model)
    model = load_trained(
        AlbertForMaskedLM, options.model, "head for masked words", "pretrain TEXT --init FOLDER"
    )
    check_fits(tokenizer, model.config, options.model)
    data = options.data or own_corpus(options.model)
    if data is None:
        say(
            "no prepared corpus, so only the vocabulary's own frequencies stand beside the model; "
            "--data FOLDER names one"
        )
    with tqdm(total=sum(len(each.texts) for each in sets), unit="text", disable=None) as bar:
        rows = judge(
            model,
            tokenizer,
            sets,
            data,
            options.batch_size,
            Threads(options.threads).n,
            bar.update,
        )
    if options.output:
        write_table(options.output, rows)
    return rows
