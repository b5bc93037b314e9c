"""No technical word of the lessons stands before it is explained."""

import ast
import functools
import re
from pathlib import Path

import pytest

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
PAGES = sorted(LESSONS.glob("[0-9]*.py"))
PAGES.insert([path.stem[:2] for path in PAGES].index("02"), LESSONS / "numpy.md")

# {page: {word: words of the explanation, as they stand there}}; a page is a lesson's number, or NumPy for numpy.md
WORDS = {
    "00": {
        "piece": "text is cut into *pieces*", "vocabulary": "the list of all of them is the *vocabulary*",
        "[MASK]": "`[MASK]` stands in for a hidden piece", "[CLS]": "`[CLS]` stands before a text", "[SEP]": "`[SEP]` after it",
        "parameter": "How many numbers (parameters)", "batch": "(a *batch*)", "loss": "The *loss* says how bad the guess was",
        "layer": "a *layer* is one round of this", "attention": "(*attention*, lesson 08)", "vector": "a row of numbers, its *vector*"},
    "01": {
        "derivative": "we need its *derivative*", "chain rule": "The *chain rule* says", "reverse sweep": "It is called the reverse sweep",
        "backpropagation": "or backpropagation", "vjp": "called a *vjp* from here on", "gradient": "the Value's *gradient*",
        "topological": "(a *topological* order)", "array": "whole boxes of numbers, *arrays*", "neural network": "you can write whole *neural networks*",
        "neuron": "A neuron: y = tanh"},
    "NumPy": {
        "axis": "along each *axis*", "keepdims": "`keepdims=True` keeps it with length 1", "transposed": "transposed: the axes are exchanged",
        "slice": "A *slice*, `start:stop`", "fancy indexing": "(*fancy indexing*)", "einsum": "`einsum` names the axes",
        "broadcasting": "## Broadcasting"},
    "02": {
        "Tensor": "We call it a *Tensor*", "forward pass": "the way forward is the *forward pass*", "backward pass": "the *backward pass*",
        "leaf": "only the *leaves*", "leaves": "only the *leaves*, the Tensors that nothing computed", "no_grad": "Inside `no_grad` nothing is kept"},
    "03": {"bias": "A *bias*, here 4 numbers", "gain": "the gradient of a *gain*"},
    "04": {
        "softmax": "Softmax (lesson 05) makes positive numbers that sum to 1", "Jacobian": "the *Jacobian*, a table J", "inner product": "is the *inner product*", "float64": "16 digits in NumPy's float64", "float32": "16 digits in NumPy's float64 and 7 in float32",
        "linear layer": "## The linear layer"},
    "05": {
        "cross-entropy": "cross-entropy measures how far off these are",
        "label": "its number is the *label*", "overflow": "it overflows to infinity", "probabilities": "Training needs *probabilities*"},
    "06": {
        "standard deviation": "divide by the *standard deviation*", "layer norm": "# 06 · Layer norm", "GELU": "with *GELU* between them: a bend", "token": "*token*",
        "ReLU": "ReLU does this with a corner", "post-LN": "is called *post-LN*", "xhat": "Write xhat for the normalised vector",
        "rstd": "rstd for 1/standard deviation", "net": "you can already build a *net*"},
    "07": {
        "one-hot": "becomes a *one-hot* vector", "embedding table": "The *embedding table* has", "embedding": "The *embedding table* has",
        "segment": "its *segments*", "module": "A part of a model that holds parameters is a `Module`", "factorised": 'That is what "factorised" means', "singular value": "(The *singular values* of a table"},
    "08": {
        "hidden vector": "its *hidden vector*", "query": "the *query* (what I look for)", "entropy": "*Entropy*, -Σ w log w", "head": "are one *head*",
        "padding": "short ones are filled up with padding", "dropout": "training adds *dropout*", "bag of words": "a *bag of words*: which words"},
    "09": {
        "encoder": "the *encoder* (ids in", "feed-forward": "the *feed-forward* half", "pooler": "the *pooler*", "untied": "makes such an *untied* model",
        "cosine": "A cosine is 1 for gradients in the same direction"},
    "10": {
        "log-probability": "each with a *log-probability*", "unigram model": "The *unigram model* says", "Viterbi": "the *Viterbi algorithm*",
        "token type": "The *token type* is 0", "attention mask": "the *attention mask*", "SentencePiece": "*SentencePiece*, the program"},
    "11": {
        "n-gram": "*n-grams*", "NSP": "(*next sentence prediction*, NSP)", "pretraining": "this is *pretraining*", "SOP": "(*sentence order prediction*, SOP)",
        "logistic regression": "*logistic regression*: a weighted sum", "seed": "a *seed* (a number to start from)"},
    "12": {
        "optimiser": "*optimiser*", "gradient descent": "*Gradient descent* takes a step", "learning rate": "The factor lr is the *learning rate*",
        "Adam": "Adam keeps two running means", "AdamW": "The W in *AdamW* means", "weight decay": "Each step also shrinks the weights a little",
        "bias correction": "it is called *bias correction*", "warm-up": "the *warm-up*, a rate that rises", "LAMB": "the last one, LAMB, trained ALBERT",
        "clipped": "gradients are *clipped*"},
    "13": {
        "plateau": "(the *plateau*)", "held-out": "*held-out* stories", "unigram entropy": "is the *unigram entropy*",
        "recipe": "The library's recipes take another"},
    "14": {
        "fine-tuning": "*fine-tuning*", "baseline": "two *baselines*", "F1": "Its *F1* is 0",
        "accuracy": "An accuracy, the share of answers that are right", "recall": "*recall* (of the texts"},
    "15": {"tagger": "A *tagger* gives every word a label", "feature": "Call each of these a *feature*", "entities": "mark *entities*"},
    "16": {
        "extractive": "An *extractive* reader", "threshold": "lie below a *threshold*", "odds": "answer only if the *odds*", "BM25": "rule called *BM25*",
        "span": "Its answer is a *span*"},
    "17": {"ROUGE": "ROUGE-n (Lin 2004) is F1 again", "oracle": "the *oracle*, named so", "blocking": "passed over (*blocking*)",
           "contrastive": "This is the *contrastive* loss"},
    "18": {
        "decoder": "The *decoder* reads what has been written so far", "causal mask": "*causal mask*: the scores of all later words",
        "teacher forcing": "This is *teacher forcing*", "cross-attention": "*Cross-attention* is lesson 08's attention with one change",
        "greedy search": "This is *greedy search*", "beam": "*Beam search* keeps several texts going"},
    "19": {
        "ablation": "The paper answers with *ablations*", "standard error": "This is its *standard error*", "Muon": "*Muon*, an optimiser that makes"},
    "20": {"array module": "which *array module*", "CuPy": "CuPy", "launch": "A *launch*:", "fused": "The library has *fused*", "xp": "the answer is called `xp`"},
    "21": {"cache": "the *cache*", "temporary": "*temporary*", "BLAS": "*BLAS*", "kernel": "kernel", "Amdahl": "(Amdahl's law)",
           "byte": "or 4 *bytes* of eight bits each", "bfloat16": "A *bfloat16* is its upper half"},
    "22": {
        "data parallelism": "*data parallelism*", "all-reduce": "*all-reduce*", "latency": "*latency*", "bandwidth": "*bandwidth*",
        "gradient accumulation": "*gradient accumulation* works on a third"},
    "23": {
        "Dyck": "It is called the *Dyck language*", "pseudo-log-likelihood": "the *pseudo-log-likelihood*. (",
        "minimal pair": "a *minimal pair*", "k-mer": "in pieces of k letters, *k-mers*"},
    "24": {
        "int8": "NumPy's int8 takes them", "convolution": "(A *convolution* slides one small matrix"},
    "25": {"bigram": "(Two neighbours are a *bigram*", "board": "the *board*, a table in which"},
}


def number_of(path):
    return "NumPy" if path.suffix == ".md" else path.stem[:2]


def prose(path):
    """The paragraphs of a page: its text, what predict asks, and what exercises ask for."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.split(r"\n\s*\n", text)
    found = []
    for cell in text.split("# %%")[1:]:
        if cell.startswith(" [markdown]"):
            found += re.split(r"\n\s*\n", "\n".join(re.sub("^# ?", "", line) for line in cell.split("\n")[1:]))
            continue
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
                found.append(" ".join(str(n.value) for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)))
            if isinstance(node, ast.FunctionDef) and any("exercise(" in ast.unparse(d) for d in node.decorator_list):
                found.append(ast.get_docstring(node) or "")
    return found


@functools.cache
def paragraphs():
    """[(page, paragraph in one line)] of all pages in order; what a lesson needs and builds is left out."""
    return [(number_of(path), " ".join(p.split("**Needs**")[0].split())) for path in PAGES for p in prose(path)]


def uses(word):
    """A pattern for the word and its plural, outside code that stands in backquotes."""
    tail = "" if word.endswith("]") else r"(?:s|es)?\b"
    return re.compile((r"(?<![\w/.-])" if word[0].isalnum() else "") + re.escape(word) + tail, 0 if word.isupper() else re.I)


def unexplained(word, page, phrase):
    """Paragraphs with the word that stand before the one that explains it, and do not name the lesson that will."""
    known = [i for i, (number, text) in enumerate(paragraphs()) if number == page and phrase in text]
    assert known, f"{page}: {word} is not explained by {phrase!r} any more"
    return [(number, text[:90]) for number, text in paragraphs()[:known[0]]
            if uses(word).search(re.sub(r"`(?!\[[A-Z]+\]`)[^`]*`", "", text)) and not re.search(rf"\b{page}\b", text)]


@pytest.mark.parametrize("page", WORDS)
def test_words_are_explained_where_they_first_stand(page):
    early = {word: unexplained(word, page, phrase) for word, phrase in WORDS[page].items()}
    assert not {word: places for word, places in early.items() if places}


def test_the_letters_and_terms_of_the_map_are_among_the_words_or_explained_there():
    """The table in lessons/README.md has a meaning for each of its terms."""
    table = (LESSONS / "README.md").read_text(encoding="utf-8").split("## Letters and terms")[1]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.M)[2:]
    assert len(rows) >= 9 and all(cell.strip() for row in rows for cell in row)
    assert sum(map(len, WORDS.values())) >= 90
