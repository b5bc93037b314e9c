"""Typical mistakes, made mechanically: an exercise's solution with one thing changed, and the change in words."""

import ast
import copy
import itertools
import re
import warnings
from pathlib import Path

from _slices import text_of

OPPOSITE = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum",
            "zeros": "ones", "zeros_like": "ones_like"}
WORDS = {"sqrt": "the square root", "log": "the logarithm", "exp": "the exponential", "tanh": "tanh", "abs": "the absolute value",
         "sorted": "sorting", "set": "each only once", "float": "", "int": "rounding down", "softmax": "softmax", "_softmax": "softmax"}
REDUCING = {"sum": "summed", "mean": "averaged", "max": "the largest was taken", "min": "the smallest was taken", "argmax": "taken"}
FLIPPED = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
AT_THE_LIMIT = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


def variants(module, name, two=False):
    """Yield (the change in words, function) for the function `name` of a module and for those of the module that it calls.

    two: two frequent changes at a time, in the function itself or, where it has none, in the first that it calls and that has some.
    """
    tree = ast.parse(text_of(Path(module.__file__)))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    reached = [name] if name in functions else []
    for current in reached:
        reached += [n.id for n in ast.walk(functions[current]) if isinstance(n, ast.Name)
                    and n.id in functions and n.id not in reached]
    for current in reached:
        changes = list(_changes(functions[current]))
        for what, where in _pairs(changes) if two else _together(changes):
            changed = _with(functions[current], where)
            nodes = [changed if f == current else functions[f] for f in reached]
            scope = dict(vars(module))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    code = compile(ast.fix_missing_locations(ast.Module(nodes, [])), f"<{what}>", "exec")
                exec(code, scope)
            except (SyntaxError, ValueError, TypeError):
                continue
            scope[name].loops = any(isinstance(n, ast.While) for f in nodes for n in ast.walk(f))
            yield what, scope[name]
        if two and any(FREQUENT.search(what) for what, *_ in changes):
            return


def terms(module, name):
    """[(term as text, function)] of a solution that returns a sum: its terms once all products are multiplied out."""
    tree = ast.parse(text_of(Path(module.__file__)))
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found or len(found[0].body) != 1 or not isinstance(found[0].body[0], ast.Return):
        return []
    parts = _multiplied_out(found[0].body[0].value)
    arguments = ", ".join(a.arg for a in found[0].args.args)
    return [(text, eval(f"lambda {arguments}: {text}", dict(vars(module)))) for text in map(ast.unparse, parts)] if 2 < len(parts) < 20 else []


def _multiplied_out(node):
    """The terms of a sum of products."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _multiplied_out(node.left) + _multiplied_out(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [ast.BinOp(a, ast.Mult(), b) for a in _multiplied_out(node.left) for b in _multiplied_out(node.right)]
    return [node]


def loops(function):
    """Whether a variant has a `while`, which its change may have made endless."""
    return function.loops


def _together(changes):
    """[(words, {number of a node: what stands there})]: each change alone, then those of one kind in all places at once."""
    alone = [(what, {i: new}) for what, i, new in changes]
    groups = {}
    for what, i, new in changes:
        kind = re.sub(rf"^({'|'.join(REDUCING.values())})\b", "summed", what)       # softmax's max goes with its sum
        groups.setdefault(kind, {}).setdefault(i, new)
    return alone + [(what, where) for what, where in groups.items() if len(where) > 1]


FREQUENT = re.compile("missing|not divided|wrong sign|should be added|should be subtracted|a mean stands|a sum stands|keepdims|transposed")
MOST = 36                                        # changes that are paired, so 630 pairs


def _pairs(changes):
    """As _together, of two frequent changes in different places."""
    frequent = [c for c in changes if FREQUENT.search(c[0]) and not c[0].startswith("nothing")][:MOST]
    return [(f"two things: {a}; and {b}", {i: x, j: y}) for (a, i, x), (b, j, y) in itertools.combinations(frequent, 2) if i != j]


def _changes(function):
    """(words, number of a node as ast.walk counts, what stands there instead)."""
    parameters = [a.arg for a in function.args.args]
    nodes = list(ast.walk(function))
    axes = {id(c) for n in nodes for c in _axis_of(n)}
    lengths = {id(n.slice) for n in nodes if isinstance(n, ast.Subscript) and getattr(n.value, "attr", "") == "shape"}
    for i, node in enumerate(nodes):
        if id(node) in lengths:
            changes = [(f"the length of axis {k} stands where that of axis {ast.unparse(node)} belongs", ast.Constant(k))
                       for k in (0, 1, 2) if ast.unparse(node) != str(k)]
        elif isinstance(node, ast.expr) and id(node) not in axes:
            changes = _expressions(node, parameters)
        elif isinstance(node, ast.stmt) and node is not function:
            changes = _statements(node)
        elif isinstance(node, ast.comprehension) and node.ifs:
            changes = [(f"the condition {_code(node.ifs[0])} is missing", ast.comprehension(node.target, node.iter, [], 0))]
        else:
            changes = []
        for what, new in changes:
            yield what, i, new


def _with(function, where):
    """A copy of the function with other nodes in some places; a place may lie within what another change keeps."""
    nodes = list(ast.walk(function))
    instead = {id(nodes[i]): new for i, new in where.items()}

    def rebuilt(value, done=frozenset()):
        if isinstance(value, list):
            return [rebuilt(v, done) for v in value]
        if not isinstance(value, ast.AST):
            return value
        if id(value) in instead and id(value) not in done:
            return rebuilt(instead[id(value)], done | {id(value)})
        return type(value)(**{field: rebuilt(v, done) for field, v in ast.iter_fields(value)})
    return rebuilt(function)


def _code(node, longest=28):
    """A piece of code as the judge quotes it: short, or by the names in it."""
    text = ast.unparse(node)
    if len(text) <= longest:
        return f"`{text}`"
    names = dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in ("np", "math", "range", "len"))
    return "the part with " + " and ".join(names) if names else "a part of it"


def _call_name(node):
    return getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""


def _axis_of(node):
    """The parts of a call that say along which axis."""
    if _call_name(node) not in REDUCING:
        return []
    named = [k.value for k in node.keywords if k.arg in ("axis", "keepdims")]
    method = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") != "np"
    placed = node.args[:1] if method else node.args[1:2]
    return [n for part in named + placed for n in ast.walk(part)]


def _expressions(node, parameters):
    """(words, what stands in place of the expression)."""
    if isinstance(node, ast.BinOp):
        yield from _operations(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table, what in ((FLIPPED, "the condition {} is the wrong way round"), (AT_THE_LIMIT, "{} is wrong just at the limit")):
            if type(node.ops[0]) in table:
                yield what.format(_code(node)), ast.Compare(node.left, [table[type(node.ops[0])]()], node.comparators)
        if not isinstance(node.ops[0], (ast.In, ast.NotIn)):
            yield f"the two sides of {_code(node)} are exchanged", ast.Compare(node.comparators[0], node.ops, [node.left])
    elif isinstance(node, ast.IfExp):
        yield "the two cases are exchanged", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert, ast.Not)):
        yield ("a minus sign is missing" if isinstance(node.op, ast.USub) else "a `not` is missing"), node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield from _numbers(node)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
        yield f"{node.id} is missing", ast.Constant(1)
        for other in parameters:
            if other != node.id:
                yield f"{other} stands where {node.id} belongs", ast.Name(other, ast.Load())
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield f"{_code(node.value)} is not transposed", node.value
    elif isinstance(node, ast.Attribute) and node.attr == "shape":
        yield "the wrong shape is used", ast.Subscript(node, ast.Slice(step=ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Load())
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and not isinstance(node.value, ast.Attribute):
        yield f"`[{ast.unparse(node.slice).strip('()')}]` is missing: not all of {_code(node.value)} belongs here", node.value
    elif isinstance(node, (ast.List, ast.Tuple)) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield from _parts(node)


def _operations(node):
    left, right, op = node.left, node.right, type(node.op)

    def binary(a, new, b):
        return ast.BinOp(a, new(), b)
    if op is ast.Mult:
        yield f"a factor is missing: {_code(right)}", left
        yield f"a factor is missing: {_code(left)}", right
        yield f"divided by {_code(right)}, which should be a factor", binary(left, ast.Div, right)
        yield f"divided by {_code(left)}, which should be a factor", binary(right, ast.Div, left)
        for factor, inner in ((left, right), (right, left)):
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, (ast.Add, ast.Sub)):
                what = f"the factor {_code(factor)} belongs to both terms: brackets around them"
                yield what, ast.BinOp(binary(factor, ast.Mult, inner.left), inner.op, inner.right)
                yield what, ast.BinOp(inner.left, inner.op, binary(factor, ast.Mult, inner.right))
        yield f"{_code(right)} is added, which should be a factor", binary(left, ast.Add, right)
        yield f"a matrix product stands where {_code(node)} multiplies number by number", binary(left, ast.MatMult, right)
    elif op is ast.Div:
        yield f"not divided by {_code(right)}", left
        yield f"multiplied by {_code(right)}, which should divide", binary(left, ast.Mult, right)
        yield f"the fraction {_code(node)} is upside down", binary(right, ast.Div, left)
        yield f"the fraction's upper half is missing: {_code(left)}", binary(ast.Constant(1), ast.Div, right)
        yield f"not divided by {_code(right)}, and the square root is too much", ast.Call(ast.Attribute(ast.Name("np", ast.Load()), "sqrt", ast.Load()), [node], [])
        yield f"divided by the square root of {_code(right)}, not by itself", binary(left, ast.Div, binary(right, ast.Pow, ast.Constant(0.5)))
        yield f"divided by {_code(right)} twice", binary(node, ast.Div, right)
    elif op in (ast.Add, ast.Sub):
        other, sign = (ast.Sub, "subtracted, it should be added") if op is ast.Add else (ast.Add, "added, it should be subtracted")
        yield f"a term is missing: {_code(right)}", left
        yield f"a term is missing: {_code(left)}", ast.UnaryOp(ast.USub(), right) if op is ast.Sub else right
        yield f"{_code(right)} is {sign}", binary(left, other, right)
        yield f"{_code(right)} is a factor here; it should be {'added' if op is ast.Add else 'subtracted'}", binary(left, ast.Mult, right)
        if op is ast.Sub:
            yield "the difference is the wrong way round", binary(right, ast.Sub, left)
    elif op is ast.MatMult:
        yield "the matrix product is the wrong way round", binary(right, ast.MatMult, left)
        yield "multiplied number by number, where a matrix product belongs", binary(left, ast.Mult, right)
        for side, part in (("left", left), ("right", right)):
            if isinstance(part, ast.Attribute) and part.attr == "T":
                continue                         # _expressions takes it away
            turned = ast.Attribute(part, "T", ast.Load())
            yield f"{_code(part)} is transposed", binary(turned, ast.MatMult, right) if side == "left" else binary(left, ast.MatMult, turned)
        yield f"the product with {_code(right)} is missing", left
        yield f"the product with {_code(left)} is missing", right
    elif op is ast.Pow:
        yield f"the power is missing: {_code(node)}", left
        yield f"the power is wrong: {_code(node)}", binary(left, ast.Mult, right)
    elif op is ast.FloorDiv:
        yield "divided with fractions, not by whole numbers", binary(left, ast.Div, right)
        yield f"not divided by {_code(right)}", left
        yield f"the remainder of {_code(node)} was taken, not the whole part", binary(left, ast.Mod, right)


def _calls(node):
    name = _call_name(node)
    if name in OPPOSITE:
        new, new_func = copy.copy(node), copy.copy(node.func)
        setattr(new_func, "attr" if isinstance(node.func, ast.Attribute) else "id", OPPOSITE[name])
        new.func = new_func
        if not (isinstance(node.func, ast.Name) and OPPOSITE[name] == "mean"):
            yield f"a {OPPOSITE[name]} stands where a {name} belongs", new
    if name in REDUCING:
        yield from _axes(node, name)
    if name == "where" and len(node.args) == 3:
        condition, a, b = node.args
        yield "the two cases are exchanged", ast.Call(node.func, [condition, b, a], [])
        yield f"not only where {_code(condition)}: everywhere", a
        yield f"the case {_code(condition)} is missing", b
    elif name in ("transpose", "swapaxes", "reshape") and isinstance(node.func, ast.Attribute):
        yield f"{name} is missing", node.func.value
    elif name == "range" and len(node.args) <= 2:
        for by, what in ((1, "one too many"), (-1, "one too few")):
            end = ast.BinOp(node.args[-1], ast.Add(), ast.Constant(by))
            yield f"the loop makes {what}", ast.Call(node.func, [*node.args[:-1], end], [])
    elif name in ("min", "max") and len(node.args) == 2:
        for a, b in (node.args, node.args[::-1]):
            yield f"{_code(b)} is left out of {name}()", a
        yield f"{name}() should choose, not add up", ast.BinOp(node.args[0], ast.Add(), node.args[1])
    elif name not in ("concatenate", "stack") and len(node.args) == 1 and not node.keywords and (isinstance(node.func, ast.Name) or getattr(node.func.value, "id", "") in ("np", "math")):
        yield f"{WORDS.get(name) or f'`{name}`'} is missing", node.args[0]
        if name == "sqrt":
            yield "squared, where the square root belongs", ast.BinOp(node.args[0], ast.Pow(), ast.Constant(2))


def _axes(node, name):
    """The call with another axis, over everything, and without keepdims."""
    done = REDUCING[name]
    keywords = [k for k in node.keywords if k.arg not in ("axis", "keepdims")]
    kept = [k for k in node.keywords if k.arg == "keepdims"]
    method = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") != "np"
    first = node.args[:0] if method else node.args[:1]
    named = [k.value for k in node.keywords if k.arg == "axis"] or (node.args[:1] if method else node.args[1:2])
    if not method and isinstance(node.func, ast.Name):
        return                                   # Python's own sum, max
    for axis in (0, 1, 2, -1, (0, 1)):
        if not named or ast.unparse(named[0]) != str(axis):
            what = f"{done} along the wrong axis, {axis}" if named else f"{done} along axis {axis} only"
            axis_keyword = ast.keyword("axis", ast.parse(str(axis), mode="eval").body)
            yield what, ast.Call(node.func, first, [*keywords, axis_keyword, *kept])
    if named:
        yield f"{done} over the whole array, not along one axis", ast.Call(node.func, first, keywords)
        if kept:
            yield "keepdims=True is missing, so the result is stretched along the wrong axis", ast.Call(
                node.func, first, [*keywords, ast.keyword("axis", named[0])])
    if isinstance(node.func, ast.Attribute):
        if named and isinstance(named[0], (ast.Constant, ast.UnaryOp)):
            yield f"only the first along the axis is taken, where all are to be {done}", ast.Call(
                ast.Attribute(ast.Name("np", ast.Load()), "take", ast.Load()),
                [node.func.value if method else node.args[0], ast.Constant(0), named[0]], [])
        yield f"nothing is {done}: `{name}` is missing", node.func.value if method else node.args[0]


def _numbers(node):
    value = node.value
    if isinstance(value, int):
        yield f"{value + 1} stands where {value} belongs", ast.Constant(value + 1)
        yield f"{value - 1} stands where {value} belongs", ast.Constant(value - 1)
    for other in (1 - value, value / 10, value * 10, value / 1000, value * 1000, value * 2, value / 2):
        if other != value and (other or not isinstance(value, int)):
            yield f"{other:g} stands where {value:g} belongs", ast.Constant(other)


def _parts(node):
    """A list or tuple with one element left out, or two exchanged."""
    for i in range(len(node.elts)):
        yield f"a part is missing: {_code(node.elts[i])}", type(node)(node.elts[:i] + node.elts[i + 1:], ast.Load())
    for i, j in itertools.combinations(range(len(node.elts)), 2):
        elements = list(node.elts)
        elements[i], elements[j] = elements[j], elements[i]
        yield f"{_code(node.elts[i])} and {_code(node.elts[j])} are exchanged", type(node)(elements, ast.Load())


def _statements(node):
    if isinstance(node, ast.AugAssign):
        yield "overwritten, where it should be added up", ast.Assign([node.target], node.value, lineno=1)
        yield f"a step is missing: {_code(node)}", ast.Pass()
        turned = {ast.Add: ast.Sub, ast.Sub: ast.Add}.get(type(node.op))
        if turned:
            yield f"{_code(node.value)} has the wrong sign", ast.AugAssign(node.target, turned(), node.value)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript) or isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield f"a step is missing: {_code(node)}", ast.Pass()
    elif isinstance(node, (ast.For, ast.While)):
        yield "done only once: the loop is missing", ast.If(ast.Constant(True), node.body, []) if isinstance(node, ast.While) else ast.For(
            node.target, ast.Subscript(ast.Call(ast.Name("list", ast.Load()), [node.iter], []), ast.Slice(upper=ast.Constant(1)), ast.Load()),
            node.body, [], lineno=1)
    elif isinstance(node, ast.If):
        yield f"the case {_code(node.test)} is missing", node.orelse[0] if node.orelse else ast.Pass()
        yield f"the case {_code(node.test)} is taken always", ast.If(ast.Constant(True), node.body, [])
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        pass                                     # its parts are changed as expressions
