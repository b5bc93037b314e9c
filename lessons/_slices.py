"""A lesson's source, read without running it: its exercises, what they need, and which comparisons depend on them."""

import ast
import re
import symtable
import zlib
from functools import cached_property
from pathlib import Path

from _origins import Origins

SEALED = ".sealed"                               # solutions as scripts/handout.py gives them out
CHANGING = {"append", "extend", "update", "add", "sort", "insert", "pop", "setdefault"}      # methods that change their object


def text_of(path):
    """The text of a file of solutions or answers, sealed or not."""
    if path.suffix == SEALED:
        return zlib.decompress(path.read_bytes()).decode("utf-8")
    return path.read_text(encoding="utf-8")


class Lesson:
    """The statements of a lesson's file; `text` is its source, if that is not what stands there."""

    def __init__(self, path, text=None):
        self.path = Path(path)
        self.statements = ast.parse(text or self.path.read_text(encoding="utf-8")).body
        self._names = [_names(statement) for statement in self.statements]
        self._modules = {alias.asname or alias.name for s in self.statements if isinstance(s, ast.Import) for alias in s.names}

    @cached_property
    def exercises(self):
        """{name: number of its statement}, in order."""
        return {s.name: i for i, s in enumerate(self.statements) if isinstance(s, ast.FunctionDef)
                and any(isinstance(d, ast.Call) and getattr(d.func, "id", "") == "exercise" for d in s.decorator_list)}

    def slice(self, names):
        """The statements that these names need, and their own, as one module; the figures and the training stay out."""
        needed, places = set(), {name: i for i, (bound, _, _) in enumerate(self._names) for name in bound}
        for name in names:
            self._add(places[name], places[name], needed)
        return ast.Module([self.statements[i] for i in sorted(needed)], type_ignores=[])

    @cached_property
    def comparisons(self):
        """[(pattern of what is compared, exercises on the lesson's side, whether own work meets the library's)] of all `same(...)`."""
        found, origins = [], Origins(self.statements)
        for i, statement in enumerate(self.statements):
            for call in ast.walk(statement):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "same" and len(call.args) >= 3:
                    mine = set()
                    for name in _loaded(statement, besides=call.args[1:]):
                        self._add_name(name, i, mine)
                    library = origins.compares_with_library(*call.args[:2], i)
                    found.append((_pattern(call.args[2]), [e for e, j in self.exercises.items() if j in mine], library))
        return sorted(found, key=lambda pair: ".*" in pair[0])           # exact texts first

    def depends_on(self, what):
        """The exercises that the comparison called `what` depends on, and whether it is one of own work with the library's."""
        for pattern, exercises, library in self.comparisons:
            if re.fullmatch(pattern, what, re.S):
                return exercises, library
        return [], False

    def _add(self, i, position, needed):
        """Statement i and all that it needs; a function finds its names when it is called, so at `position`."""
        if i in needed:
            return
        needed.add(i)
        later = isinstance(self.statements[i], (ast.FunctionDef, ast.ClassDef))
        for name in self._names[i][1]:
            self._add_name(name, position if later else i, needed)

    def _add_name(self, name, position, needed):
        """The last statement before `position` that binds `name`, and those between that change it."""
        for i in reversed(range(position)):
            bound, _, changed = self._names[i]
            if name in bound or name in changed and name not in self._modules:
                self._add(i, position, needed)
            if name in bound and (name not in changed or name in self._modules):
                return


def _names(statement):
    """(names that a statement binds, names that it looks up in the lesson, names whose objects it changes)."""
    table = symtable.symtable(ast.unparse(statement), "lesson", "exec")
    bound, used = set(), set()
    scopes = [table]
    for scope in scopes:
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if scope is table and (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (scope is table or symbol.is_global()):
                used.add(symbol.get_name())
    changed = set()
    if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        for node in ast.walk(statement):
            if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                changed.add(_root(node))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
                changed.add(_root(node.func))
            elif isinstance(node, ast.AugAssign):
                changed.add(_root(node.target))
        used &= _first_looked_up([statement], set())
    return bound, used, changed


def _first_looked_up(statements, stored):
    """Names that statements look up before they have bound them themselves; adds to `stored` what they bind."""
    found = set()
    for statement in statements:
        bodies = [getattr(statement, field, []) for field in ("body", "orelse", "handlers", "finalbody")]
        inside = [s for body in bodies if isinstance(body, list) for s in body if isinstance(s, (ast.stmt, ast.ExceptHandler))]
        compound = isinstance(statement, (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.ExceptHandler))
        below = {id(n) for s in inside for n in ast.walk(s)} if compound else set()
        own = [n for n in ast.walk(statement) if isinstance(n, ast.Name) and id(n) not in below]
        found |= {n.id for n in own if isinstance(n.ctx, ast.Load)} - stored
        if isinstance(statement, ast.AugAssign):
            found |= {_root(statement.target)} - stored
        stored |= {n.id for n in own if isinstance(n.ctx, ast.Store)}
        if compound:
            found |= _first_looked_up(inside, stored)
    return found


def _root(node):
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return getattr(node, "id", None)


def _loaded(statement, besides):
    """Names that a statement looks up, outside some of its parts."""
    left_out = {id(n) for part in besides for n in ast.walk(part)}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in left_out}


def _pattern(node):
    """A regular expression for the texts that an expression can give."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in node.values)
    return ".*"


def mended(text):
    """Python source in which a function that can't be parsed says so when it is called, and all else is as it was.

    Raises SyntaxError if the mistake stands outside a function, or if cutting one out does not help.
    """
    lines = text.splitlines()
    for _ in range(20):                          # as many functions as may be broken
        try:
            ast.parse("\n".join(lines))
            return "\n".join(lines) + "\n"
        except SyntaxError as error:
            start = next((i for i in reversed(range(min(error.lineno, len(lines)))) if re.match(r"def \w+\(", lines[i])), None)
            if start is None:
                raise
            end = next((i for i in range(start + 1, len(lines)) if re.match(r"[^\s)\]}]", lines[i])), len(lines))
            name = re.match(r"def (\w+)", lines[start])[1]
            said = f"{error.msg}, in line {error.lineno}"
            new = [f"def {name}(*arguments):", f"    raise SyntaxError({said!r})"]
            if lines[start:start + 2] == new:
                raise
            lines[start:end] = new + [""] * (end - start - 2)        # the lines below keep their numbers
    raise SyntaxError("more than twenty functions can't be parsed")
