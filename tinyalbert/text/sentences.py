"""Running prose -> sentences, by rules for English that leave other languages usable.

A sentence ends at . ! ? or … (closing quotes and brackets included) before white space, unless an
abbreviation or an initial stands before the full stop, or the next word starts in lower case.
Decimals, versions and addresses hold no white space, so they are never cut.  。！？ end a sentence
anywhere.
"""

import re
from itertools import pairwise

# What comes after the full stop of such a word belongs to the same sentence: a name, ...
BEFORE_A_NAME = frozenset(
    """
    mr mrs ms messrs dr prof rev hon gen col capt lt lieut sgt maj cmdr adm gov sen rep pres
    supt st mt ft sr fr vs v cf eg ie e.g i.e viz approx ca al eds""".split()
)
# ... or, if it is one, a number.
BEFORE_A_NUMBER = frozenset(
    """
    no nos vol vols fig figs sec secs art arts ch chap p pp op jan feb mar apr jun jul aug sep
    sept oct nov dec""".split()
)
# Words whose full stop may end a sentence: it does if a word follows that often begins one.
PERHAPS_LAST = frozenset("etc inc ltd co corp jr esq ph.d a.m p.m bros dept est".split())
OPENERS = frozenset(
    """
    the a an it its he his she her they their we our i you your this that these those there here
    in on at by for from with as if when while after before since but and or so yet then thus
    however although though because what who where why how no not all many most some such both
    each every another""".split()
)

_STOP = re.compile(
    r"(?<![.!?…])(?P<stop>[.!?…]++)[\"'”’»)\]]*+\s++(?=(?P<next>\S{1,40}))|(?P<wide>[。！？]+[」』”’）]*)\s*"
)
_INITIALISM = re.compile(r"(\w\.)+\w")
_OPENING = "\"'“‘«([-–—"


def _ends(text, match, cased):
    """Whether the stop matched in `text` ends a sentence."""
    if match["wide"]:
        return True
    following = match["next"].lstrip(_OPENING)
    if cased and following[:1].islower():
        return False
    if match["stop"] != ".":
        return True
    before = text[max(0, match.start() - 24) : match.start()].rsplit(None, 1)
    word = before[-1].lstrip(_OPENING).lower() if before else ""
    initial = len(word) == 1 and word.isalpha() and word != "i"
    if word in BEFORE_A_NAME or initial:  # Mr. Adams, J. Adams
        return False
    if word in BEFORE_A_NUMBER:
        return not following[:1].isdigit()
    if word in PERHAPS_LAST or _INITIALISM.fullmatch(word):  # etc.  U.S.
        return following.rstrip(",;:").lower() in OPENERS
    return True


def sentence_spans(text):
    """(start, end) of each sentence of a paragraph, in order, without the white space around it."""
    cased = text != text.lower()  # in text without capitals any word may begin one
    ends = [match.end() for match in _STOP.finditer(text) if _ends(text, match, cased)]
    spans = []
    for start, end in pairwise([0, *ends, len(text)]):
        part = text[start:end]
        if part.strip():
            spans.append((end - len(part.lstrip()), start + len(part.rstrip())))
    return spans


def split_sentences(text):
    """The sentences of a paragraph, in order, stripped; line ends count as spaces."""
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
