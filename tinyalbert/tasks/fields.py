"""Tables and JSON for tasks whose examples are more than a text and a label.

A task names the fields of its examples and what their columns are usually called; records.py reads
the file, whatever its format.
"""

from .options import TableSettings
from .records import Records
from .text_files import ending

TABLES = (".tsv", ".csv")


class Fields(Records):
    """The records of a source with the columns that a task knows.

    usual: {field: names that its column usually has, in lower case}.  Iterating, or `of_text` for a
    text that was read already, gives (where it stands, {field: value}), without fields that the
    source does not have.
    """

    def __init__(self, source, usual, bad_rows, say=lambda line: None, encoding=None):
        super().__init__(source, TableSettings(encoding=encoding), False, bad_rows, say)
        self.usual = usual

    def _asked(self):
        """Names that tell a table's header."""
        names = [name for names in self.usual.values() for name in names]
        return [form for name in names for form in (name, name.capitalize(), name.upper())]

    def of_text(self, text):
        for where, record in super().of_text(text):
            named = {name.strip().casefold(): value for name, value in record.items()}
            yield (
                where,
                {
                    field: next(named[name] for name in names if name in named)
                    for field, names in self.usual.items()
                    if any(name in named for name in names)
                },
            )


def is_written_as_table(path):
    """Whether a task that has a format of its own writes a table, or JSON lines, to a path."""
    return ending(path) in (*TABLES, ".jsonl")
