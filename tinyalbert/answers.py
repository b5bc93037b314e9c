"""The commands of models that need no fine-tuning: texts in; a table, JSON lines or prose out.

Each yields an Answer for a text; `tell` prints or writes them.
"""

import json
import sys
from typing import NamedTuple

from .ask import Documents
from .errors import UserError
from .pipelines import pipeline
from .tasks.inference import check_output_file, write_to
from .tasks.search import searcher
from .tasks.tables import Row, open_table, write_table
from .tasks.task import BadRows
from .tasks.text_files import STANDARD_INPUT, ending
from .tasks.texts import may_be_text, story_texts

BLOCK = 32  # texts of a file that are asked about together


class Answer(NamedTuple):
    """What is said of a text."""

    record: dict  # as JSON has it
    rows: list  # as a table has it, {column: value} each
    shown: str  # to be read


def texts_of(options, bad_rows, say):
    """Lists of the Rows of what is typed: texts, files of lines, tables, the standard input."""
    for word in options.text:
        if may_be_text(word):
            yield [Row(word, None, None, "the text")]
        elif word == STANDARD_INPUT and sys.stdin.isatty():
            for number, line in enumerate(sys.stdin, 1):  # an answer to each before the next
                if line.strip():
                    yield [Row(line.strip(), None, None, f"line {number}")]
        else:
            rows = _rows(word, options, bad_rows, say)
            yield from (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))


def _rows(source, options, bad_rows, say):
    """The Rows of a file, or built in."""
    if source.startswith("stories:"):
        return story_texts(source, split="test")
    return open_table(source, options, need_labels=False, bad_rows=bad_rows, say=say).rows


def tell(answers, options):
    """Print the answers to be read, each as soon as it is there, or write what is asked for."""
    if options.output is None and not options.json:
        for answer in answers:
            print(answer.shown, flush=True)
        return
    answers = list(answers)

    def write(path):
        if ending(path) == ".jsonl":
            write_table(path, [answer.record for answer in answers])
        else:
            write_table(path, [row for answer in answers for row in answer.rows])

    write_to(options, "answers.tsv", write)


def run(command, options, say):
    """Run one of the commands below: (options, its Rows, bad rows, say) -> Answers."""
    check_output_file(options.output, *options.text)
    bad_rows = BadRows(options.skip_bad_rows)
    rows = texts_of(options, bad_rows, say)
    tell(at_least_one(command(options, rows, bad_rows, say), bad_rows), options)
    if bad_rows.summary():
        say(bad_rows.summary())


def at_least_one(answers, bad_rows):
    """The answers; refuses a source of which every row was left out."""
    none = True
    for answer in answers:
        none = False
        yield answer
    if none:
        left_out = bad_rows.summary()
        raise UserError("no row can be used" + (f"; {left_out}" if left_out else ""))


def _answered(blocks, bad_rows, pipe):
    """(row, answer) of each row that has one; of another, where it stands is told.

    pipe: (rows) -> an answer for each.
    """
    for rows in blocks:
        try:
            yield from zip(rows, pipe(rows))
            continue
        except UserError:  # of one of them
            pass
        for row in rows:
            with bad_rows.skipping():
                try:
                    answer = pipe([row])[0]
                except UserError as problem:
                    raise UserError(f"{row.where}: {problem}") from None
                yield row, answer


# --- the commands ---------------------------------------------------------------------------------


def fill_masks(options, rows, bad_rows, say):
    """The words that fit at each [MASK]."""
    fill = pipeline("fill-mask", options.model, device=options.device)
    targets = options.targets
    if targets:  # a word that stands alone is a piece with the space before it
        has_piece = fill.tokenizer.has_piece
        targets = [f"▁{word}" if has_piece(f"▁{word}") else word for word in targets]

    def filled(rows):
        return [fill(row.text, top_k=options.top_k, targets=targets) for row in rows]

    for index, (row, masks) in enumerate(_answered(rows, bad_rows, filled)):
        masks = masks if masks and isinstance(masks[0], list) else [masks]
        found = [(number, answer) for number, mask in enumerate(masks, 1) for answer in mask]
        lines = [
            f"  {answer['score']:7.2%}  {answer['token_str']:16s}{answer['sequence']}"
            for _, answer in found
        ]
        yield Answer(
            {"index": index, "text": row.text, "masks": masks},
            [{"index": index, "text": row.text, "mask": n, **answer} for n, answer in found],
            "\n".join([row.text, *lines]),
        )


def zero_shot(options, rows, bad_rows, say):
    """Which of some labels fits."""
    classify = pipeline("zero-shot-classification", options.model, device=options.device)
    how = (options.labels, options.template, options.multi_label)
    classify([], *how)  # refuses what is wrong with these, which is no row's fault

    def classified(rows):
        return classify([row.text for row in rows], *how)

    for index, (row, answer) in enumerate(_answered(rows, bad_rows, classified)):
        scores = dict(zip(answer["labels"], answer["scores"]))
        labels = [label.strip() for label in options.labels.split(",") if label.strip()]
        shares = {f"p({label})": f"{scores[label]:.4f}" for label in labels}
        row_said = {"index": index, "prediction": answer["labels"][0], "text": row.text}
        lines = [f"  {score:7.2%}  {label}" for label, score in scores.items()]
        yield Answer(answer, [{**row_said, **shares}], "\n".join([row.text, *lines]))


def sentence_order(options, rows, bad_rows, say):
    """Whether sentences stand in the order in which they were written."""
    order = pipeline("sentence-order", options.model, device=options.device)

    def read(rows):
        pairs = [{"text": row.text, "text_pair": row.pair} for row in rows]
        return order([row.text if row.pair is None else pair for row, pair in zip(rows, pairs)])

    for index, (row, answer) in enumerate(_answered(rows, bad_rows, read)):
        record = {"index": index, "score": answer["score"], "text": row.text}
        if row.pair is not None:
            record["text_pair"] = row.pair
        scores = " ".join(f"{score:.4f}" for score in answer["scores"])
        shown = f"{answer['score']:7.2%}  {row.text}" + (f" | {row.pair}" if row.pair else "")
        if len(answer["scores"]) > 1:
            shown = f"{shown}\n         each seam: {scores}"
        in_table = {**record, "score": f"{answer['score']:.4f}", "scores": scores}
        yield Answer({**record, "scores": answer["scores"]}, [in_table], shown)


def score(options, rows, bad_rows, say):
    """How likely texts are."""
    likelihood = pipeline("pseudo-likelihood", options.model, device=options.device)
    how = {"whole_words": options.whole_words, "batch_size": options.batch_size}
    heading = f"{'score':>9s}{'perplexity':>12s}  text\n"

    def scored(rows):
        return likelihood([row.text for row in rows], **how)

    for index, (row, answer) in enumerate(_answered(rows, bad_rows, scored)):
        record = {"index": index, **answer, "text": row.text}
        shown = f"{answer['score']:9.2f}{answer['perplexity']:12.1f}  {row.text}"
        in_table = {**record, "score": f"{answer['score']:.4f}"}
        in_table["perplexity"] = f"{answer['perplexity']:.4f}"
        yield Answer(record, [in_table], heading + shown)
        heading = ""


def search(options, rows, bad_rows, say):
    """The paragraphs of a folder of texts that are closest in meaning to queries."""
    find = searcher(options, say)

    def found(rows):
        return find([row.text for row in rows])

    for index, (row, paragraphs) in enumerate(_answered(rows, bad_rows, found)):
        rows_said = [{"index": index, "query": row.text, **each} for each in paragraphs]
        shown = "\n".join([row.text, *map(_shown_paragraph, paragraphs)])
        yield Answer({"query": row.text, "paragraphs": paragraphs}, rows_said, shown)


def _shown_paragraph(paragraph):
    text = " ".join(paragraph["text"].split())
    shown = text if len(text) <= 200 else f"{text[:199]}…"
    place = f"{paragraph['file']}, line {paragraph['line']}"
    return f"{paragraph['score']:7.3f}  {place}\n         {shown}"


def ask(options, rows, bad_rows, say):
    """The answers of a folder of texts to questions."""
    documents = Documents(
        options.model, options.documents, options.paragraphs, options.device, options.threads, say
    )

    def answered(rows):
        return [documents(row.text, options.top_k) for row in rows]

    for index, (row, answers) in enumerate(_answered(rows, bad_rows, answered)):
        rows_said = [
            {"index": index, "question": row.text, **answer, "also": json.dumps(answer["also"])}
            for answer in answers
        ]
        shown = "\n".join([row.text, *map(_shown_answer, answers)])
        yield Answer({"question": row.text, "answers": answers}, rows_said, shown)


def _shown_answer(answer):
    score = "        " if answer["score"] is None else f"{answer['score']:8.2f}"
    text = " ".join(answer["answer"].split()) or "(no answer in these texts)"
    place = f"{answer['file']}:{answer['start']}" if answer["file"] else ""
    more = f" and {len(answer['also'])} more" if answer["also"] else ""
    return f"{score}  {text:40s}  {place}{more}".rstrip()
