"""Where a value in a lesson comes from, read without running it: from the lesson's own code, from the library, or from neither.

What `same` prints rests on this: only own code that was compared with the library's can be equal to it.
"""

import ast

CHANGING = {"append", "extend", "update", "add", "insert", "setdefault"}           # methods that put their argument into an object
REDUCING = {"sum", "mean", "max", "min", "prod", "dot"}
MAKING = {"array", "asarray", "stack", "concatenate", "ones", "zeros", "full", "eye", "arange", "frombuffer", "random"}       # no computing


class Origins:
    """The statements of a lesson, asked about expressions in them."""

    def __init__(self, statements):
        self.statements = statements
        self.library, self.modules = set(), set()
        for statement in statements:
            names = {alias.asname or alias.name for alias in getattr(statement, "names", [])}
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("tinyalbert"):
                self.library |= names
            elif isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.modules |= names

    def compares_with_library(self, one, other, i):
        """Whether one of two expressions in statement i is the lesson's own work and the other one the library's."""
        a, b = self.of(one, i), self.of(other, i)
        return _one_is_own(a, b) or _one_is_own(b, a)

    def of(self, node, i, seen=frozenset()):
        """The kinds of an expression in statement i: own (a function of the lesson made it), library, computed (here, in this line)."""
        if isinstance(node, ast.Call):
            return self._of_call(node, i, seen)
        if isinstance(node, ast.Name):
            return self._of_name(node.id, i, seen)
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return set()
        if isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
            return self.of(node.value, i, seen)
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self.of(node.elt, i, seen)
        if isinstance(node, ast.DictComp):
            return self.of(node.value, i, seen)
        kinds = {"computed"} if isinstance(node, (ast.BinOp, ast.UnaryOp)) and not _only_constants(node) else set()
        return kinds.union(*(self.of(child, i, seen) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)))

    def _of_call(self, node, i, seen):
        root = _root(node.func)
        if root in self.library:
            return {"library"}
        arguments = set().union(*(self.of(a, i, seen) for a in [*node.args, *(k.value for k in node.keywords)]))
        called = _path(node.func)
        if called and called[0] in self.modules:                         # NumPy's functions, and the lessons' own helpers
            return arguments | ({"computed"} if len(called) > 1 and not MAKING & set(called) else set())
        made = self.of(node.func.value if isinstance(node.func, ast.Attribute) else node.func, i, seen)
        if not made and isinstance(node.func, ast.Attribute) and node.func.attr in REDUCING:
            return {"computed"}
        return made or arguments                 # a method of an object, a function that a call gave

    def _of_name(self, name, i, seen):
        if i < 0 or name in self.modules:
            return set()
        if (name, i) in seen:                    # x = x.reshape(...): what it was before
            return self._of_name(name, i - 1, seen)
        if name in self.library:
            return {"library"}
        seen, found = seen | {(name, i)}, set()
        for j in reversed(range(i + 1)):
            statement = self.statements[j]
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                if statement.name == name and j < i:
                    return found | {"own"}
                continue
            sources, binds = self._sources(statement, name)
            found = found.union(*(self.of(source, j, seen | {(name, j)}) for source in sources))
            if binds and (j < i or not isinstance(statement, ast.Assign)) and not isinstance(statement, ast.AugAssign):
                return found
        return found

    def _sources(self, statement, name):
        """(expressions in a statement that the name gets its value from, whether the statement binds the name)."""
        sources, binds = [], False
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                pairs = [pair for target in node.targets for pair in _paired(target, node.value)]
            elif isinstance(node, (ast.AugAssign, ast.NamedExpr)):
                pairs = [(node.target, node.value)]
            elif isinstance(node, (ast.For, ast.comprehension)):
                pairs = _paired(node.target, node.iter)
            elif isinstance(node, ast.withitem) and node.optional_vars:
                pairs = [(node.optional_vars, node.context_expr)]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
                pairs = [(node.func.value, a) for a in node.args]
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _root(node.value.func) in self.library:
                pairs = [(a, node.value) for a in node.value.args[:1]]           # a function that writes into its first argument
            else:
                continue
            for target, value in pairs:
                if _root(target) == name:
                    sources.append(value)
                    binds |= isinstance(target, ast.Name) and isinstance(getattr(target, "ctx", None), ast.Store)
        return sources, binds


def _one_is_own(a, b):
    """Whether the first was made or computed in the lesson, and the second, which was not, comes from the library."""
    own, other = a & {"own", "computed"}, b & {"own", "computed"}
    return bool(own) and "library" in b and ("library" not in a or not other)


def _paired(target, value):
    """[(name, its own part of the value)] of a binding, through tuples, zip() and enumerate()."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        return [(target, value)]
    parts = None
    called = getattr(getattr(value, "func", None), "id", "")
    if isinstance(value, (ast.Tuple, ast.List)):
        parts = value.elts
    elif called == "zip":
        parts = value.args
    elif called == "enumerate":
        parts = [ast.Constant(0), value.args[0]]
    if parts is None or len(parts) != len(target.elts):
        parts = [value] * len(target.elts)
    return [pair for t, part in zip(target.elts, parts) for pair in _paired(t, part)]


def _root(node):
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Call, ast.Starred)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", None)


def _path(node):
    """["np", "random", "rand"] for np.random.rand, None for anything but names."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _only_constants(node):
    return not any(isinstance(n, (ast.Name, ast.Call)) for n in ast.walk(node))
