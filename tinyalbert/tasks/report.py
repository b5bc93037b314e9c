"""What a classifier gets right and wrong, label by label, as text."""

import numpy as np

from .metrics import confusion_table, precision_recall_f1

SHOWN = 20  # labels; of more, the worst are shown
WORST = 10


def some(names, shown=SHOWN):
    """Names in a line, the first of many."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more


def nothing_told_apart(said, right, what="prediction"):
    """A line about a model that says the same every time where not all is the same; else None.

    said, right: what is predicted and what is right, lists.
    """
    if len(set(said)) != 1 or len(set(right)) < 2:
        return None
    return (
        f"every {what} is {said[0]!r}: the model tells nothing apart; more or longer training, or "
        "another --lr, may help"
    )


def label_report(table, names, whole=False):
    """Precision, recall and F1 of each label, and its number of rows.

    table: (L, 2, 2) counts for each label, [right?, said?].  whole: all labels, however many.
    """
    precision, recall, f1 = precision_recall_f1(table)
    rows = table[:, 1].sum(axis=1)
    chosen = np.arange(len(names))
    title = "label"
    if len(names) > SHOWN and not whole:
        chosen = np.argsort(np.where(rows > 0, f1, 2.0), kind="stable")[:WORST]
        title = f"worst of {len(names)} labels"
    width = max(len(title), *(len(names[i]) for i in chosen)) + 2
    lines = [f"{title:{width}s}precision   recall       F1     rows"]
    lines += [
        f"{names[i]:{width}s}{precision[i]:9.3f}{recall[i]:9.3f}{f1[i]:9.3f}{rows[i]:9,d}"
        for i in chosen
    ]
    return "\n".join(lines)


def one_against_rest(gold, said, labels):
    """(L, 2, 2) counts [right?, said?] of each label, from label ids (N,)."""
    table = confusion_table(gold, said, labels)
    hits = np.diag(table)
    right, said = table.sum(axis=1), table.sum(axis=0)
    missed, wrong = right - hits, said - hits
    rest = table.sum() - hits - missed - wrong
    return np.stack([np.stack([rest, wrong], -1), np.stack([missed, hits], -1)], axis=1)


def confusions(gold, said, names, whole=False):
    """Which labels are taken for which: the whole table, of many labels the commonest mistakes."""
    table = confusion_table(gold, said, len(names))
    if len(names) <= SHOWN or whole:
        return format_confusion(table, names)
    wrong = table * (1 - np.eye(len(names), dtype=table.dtype))
    worst = [divmod(i, len(names)) for i in np.argsort(-wrong, axis=None, kind="stable")[:WORST]]
    worst = [(i, j) for i, j in worst if wrong[i, j]]
    if not worst:
        return "no label was taken for another"
    width = max(len(names[i]) for i, _ in worst)
    lines = [f"{wrong[i, j]:6,d}  {names[i]:{width}s}  as  {names[j]}" for i, j in worst]
    return "\n".join(["commonest confusions", *lines])


def format_confusion(table, names):
    """A row for each right label, a column for each predicted one."""
    width = max(max(len(n) for n in names), len(str(table.max())), 5) + 2
    lines = ["right \\ predicted".ljust(max(18, width)) + "".join(n.rjust(width) for n in names)]
    lines += [
        n.ljust(max(18, width)) + "".join(str(c).rjust(width) for c in row)
        for n, row in zip(names, table)
    ]
    return "\n".join(lines)
