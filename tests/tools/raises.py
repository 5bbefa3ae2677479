"""Finds in the code of the package what it raises: every call with `id="LN-…"`, its sentences and remedies.

The first text of such a call is the sentence; `remedy`, or the second text, is what to do. A sentence that is the
parameter `message` of the function around the call is looked up where that function is called."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

from lineal import errors

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "lineal"

VARIES = "…"

_CARRIERS = {"RuleViolation": "broken.message", "Refusal": "str(refusal)", "BadAddress": "error.problem"}
"""Exceptions that carry sentence and remedy to the place that knows file and line, and how they are written there."""
_DEPTH = 4
"""How many variables and functions a text is followed through."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Saying = tuple[str, str]
"""A sentence and its remedy, `…` where they vary."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One place that raises."""

    id: str
    exit_code: int
    where: str
    sayings: tuple[Saying, ...] = ()


class Module:
    """A file of the package, with what is needed to look around in it."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(ROOT).as_posix()
        self.tree = ast.parse(path.read_text())
        self.parents: dict[ast.AST, ast.AST] = {}
        nodes: list[ast.AST] = [self.tree]
        for node in nodes:
            children = list(ast.iter_child_nodes(node))
            self.parents |= dict.fromkeys(children, node)
            nodes += children
        self.calls = [node for node in self.parents if isinstance(node, ast.Call)]
        self.calls_of = defaultdict[str, list[ast.Call]](list)
        for call in self.calls:
            self.calls_of[called(call)].append(call)
        # Whose id is the function's own.
        self.with_id = [call for call in self.calls if isinstance(keyword(call, "id"), ast.Name)]
        self.returns = defaultdict[str, list[ast.expr]](list)
        for node in list(self.parents):
            if isinstance(node, ast.Return) and node.value is not None and (function := self.function(node)):
                self.returns[function.name].append(node.value)

    def function(self, node: ast.AST) -> Function | None:
        """The function that a node is in."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, Function):
                return node
        return None

    def values(self, name: ast.Name) -> list[ast.expr]:
        """What a variable may hold there: what was assigned last before, in each branch; or a constant's value."""
        node: ast.AST = name
        found: list[ast.expr] = []
        while not found and node in self.parents and not isinstance(node, Function):
            parent = self.parents[node]
            blocks = [getattr(parent, field, None) for field in ("body", "orelse", "finalbody")]
            block = next((block for block in blocks if isinstance(block, list) and node in block), [node])
            for statement in reversed(block[: block.index(node)]):
                found += assigned(statement, name.id)
                if found and isinstance(statement, ast.Assign | ast.AnnAssign):
                    break
            node = parent
        constants = (statement for statement in self.tree.body if isinstance(statement, ast.Assign | ast.AnnAssign))
        return found or [value for statement in constants for value in assigned(statement, name.id)]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((part.value for part in call.keywords if part.arg == name), None)


def parameters(function: Function) -> list[str]:
    return [part.arg for part in function.args.args if part.arg not in ("self", "cls")]


def assigned(statement: ast.AST, name: str) -> list[ast.expr]:
    """What the statement, or one inside of it, assigns to the variable."""
    found: list[ast.expr] = []
    for node in ast.walk(statement):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            names = [getattr(part, "id", "") for part in getattr(target, "elts", [target])]
            if name not in names:
                continue
            position, value = names.index(name), node.value
            if len(names) > 1 and isinstance(value, ast.Tuple):
                value = value.elts[position]
            elif len(names) > 1:
                value = ast.Subscript(value, ast.Constant(position))
            found.append(value)
    return found


def pairs(sentences: list[str], remedies: list[str]) -> Iterable[Saying]:
    """Sentences that a word can be read of, each with its remedy as far as that is certain."""
    if len(sentences) > 1 and len(remedies) > 1 and len(sentences) != len(remedies):
        remedies = [VARIES]
    both = zip(sentences, remedies, strict=True) if len(sentences) == len(remedies) else product(sentences, remedies)
    return ((sentence, remedy) for sentence, remedy in both if re.search("[A-Za-z]{3}", sentence))


class Reader:
    def __init__(self) -> None:
        self.modules = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {node.name: node for m in self.modules for node in m.parents if isinstance(node, ast.ClassDef)}

    @cached_property
    def constants(self) -> dict[str, list[str]]:
        """Texts at the top of modules, which others import."""
        found: dict[str, list[str]] = {}
        for module in self.modules:
            for node in module.tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    found[node.targets[0].id] = self.texts(module, node.value, _DEPTH)
        return found

    def failures(self) -> Iterator[Failure]:
        for module in self.modules:
            for call in module.calls:
                match keyword(call, "id"):
                    case ast.Constant(value=str(id)) if id.startswith("LN-"):
                        code = self.exit_code(self.kind(module, call))
                        begins = "" if keyword(call, "place") is None else f"{VARIES}: "
                        said = ((begins * s[:1].islower() + s, remedy) for s, remedy in self.sayings(module, call))
                        yield Failure(id, code, f"{module.name}:{call.lineno}", tuple(said))

    def kind(self, module: Module, call: ast.Call) -> str:
        """The class of the error; of a call of another function, the one that is raised there."""
        name = called(call)
        if name in self.classes:
            return name
        node: ast.AST = call
        if name == "__init__":
            while not isinstance(node, ast.ClassDef):
                node = module.parents[node]
            return node.name
        for other in self.modules:
            for inner in other.with_id:
                function = other.function(inner)
                if function is not None and function.name == name:
                    return self.kind(other, inner)
        raise LookupError(f"{module.name}:{call.lineno}: {name} raises nothing with an id.")

    def exit_code(self, kind: str) -> int:
        while not hasattr(errors, kind):
            kind = ast.unparse(self.classes[kind].bases[0])
        return int(getattr(errors, kind).exit_code)

    def sayings(self, module: Module, call: ast.Call, depth: int = 0) -> Iterator[Saying]:
        """Those of a call, or of the calls that hand them to its function."""
        remedy = keyword(call, "remedy")
        written = [ast.unparse(part) for part in call.args]
        carriers = [name for name, text in _CARRIERS.items() if any(text in part for part in written)]
        texts = [found for part in call.args if (found := self.texts(module, part))]
        function = module.function(call)
        if carriers:
            yield from (said for m in self.modules for c in m.calls_of[carriers[0]] for said in self.sayings(m, c))
        elif texts:
            remedies = self.texts(module, remedy) if remedy is not None else (texts[1:] or [[""]])[0]
            yield from pairs(texts[0], remedies or [VARIES])
        elif "message" in written and function is not None and depth < _DEPTH:
            yield from self.handed(module, function, depth)

    def handed(self, module: Module, function: Function, depth: int) -> Iterator[Saying]:
        """Those of the calls of a function with the parameter `message`; of `__init__`, by the name of its class."""
        owner = module.parents[function]
        made = isinstance(owner, ast.ClassDef) and function.name == "__init__"
        name = owner.name if isinstance(owner, ast.ClassDef) and made else function.name
        position = parameters(function).index("message")
        for other in self.modules if made else [module]:
            for call in other.calls_of[name]:
                inner = ast.Call(call.func, call.args[position:], call.keywords)
                other.parents[inner] = other.parents[call]
                yield from self.sayings(other, inner, depth + 1)

    def texts(self, module: Module, node: ast.expr, depth: int = 0) -> list[str]:
        """The texts that an expression may give; empty when it is no text."""
        again = depth + 1
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                pieces = [self.texts(module, part, again) for part in parts]
                return ["".join(piece[0] if len(piece) == 1 else VARIES for piece in pieces)]
            case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper():
                return self.constants.get(name, [VARIES]) if depth < _DEPTH else [VARIES]
            case ast.FormattedValue():
                return [VARIES]
            case ast.IfExp(body=body, orelse=orelse):
                return self.texts(module, body, again) + self.texts(module, orelse, again)
            case ast.BinOp(left=left, right=right):
                sides = [self.texts(module, side, again) or [VARIES] for side in (left, right)]
                return ["".join(pair) for pair in product(*sides)]
            case ast.Call(func=ast.Attribute(attr="rstrip", value=inner)):
                return self.texts(module, inner, again)
            case ast.Call(args=[inner, *_]) if called(node) == "sentence":
                return self.texts(module, inner, again)
            case ast.Starred(value=ast.Call() as inner):
                return self.returned(called(inner), 0, again)
            case ast.Subscript(value=ast.Call() as inner, slice=ast.Constant(value=int(position))):
                return self.returned(called(inner), position, again)
            case ast.Call():
                return [VARIES]
            case ast.Name() if depth < _DEPTH:
                return [text for value in module.values(node) for text in self.texts(module, value, again)]
        return []

    def returned(self, name: str, position: int, depth: int) -> list[str]:
        """The texts that a function returns, or that stand at a position of the tuple that it returns."""
        found: list[str] = []
        for module in self.modules if depth < _DEPTH else []:
            for node in module.returns[name]:
                value = node.elts[position] if isinstance(node, ast.Tuple) else node
                found += [text for text in self.texts(module, value, depth) if text != VARIES]
        return found or [VARIES]
