"""Where the service refuses, found in its source; and how to take one such guard out.

A guard is a function that names a refusal's code. Taken out, the condition in front of the refusal
never holds, or what says it is left out: the function's code is replaced for the time of a test, so
that all who call it get the twin.
"""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import service
from service.kernel.problems import Code, ReasonCode

# Examples in the contract are no guards, and nobody imports what runs the service.
NOT_SEARCHED = ("service.kernel.openapi", "service.__main__")
# Lists what a route can answer; refuses nothing itself.
NO_GUARDS = ("service.kernel.routes.errors_of",)
ROOT = Path(__file__).parents[2]


def modules() -> Iterator[ModuleType]:
    """Every module of the service."""
    for found in pkgutil.walk_packages(service.__path__, "service."):
        if found.name not in NOT_SEARCHED:
            yield importlib.import_module(found.name)


def guards() -> set[str]:
    """`code @ module.function` for every place that refuses."""
    found = set()
    for module in modules():
        tree = ast.parse(Path(module.__file__ or "").read_text("utf-8"))
        for name, function in functions(tree.body, ""):
            for node in ast.walk(function):
                code = named(node, vars(module))
                place = f"{module.__name__}.{name}"
                if code is not None and place not in NO_GUARDS:
                    found.add(f"{code} @ {place}")
    return found


def functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods with their qualified names."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def named(node: ast.AST, names: dict[str, Any]) -> str | None:
    """The code that a node names."""
    value: Any = None
    if isinstance(node, ast.Name):
        value = names.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        value = getattr(names.get(node.value.id), node.attr, None)
    return value.code if isinstance(value, (Code, ReasonCode)) else None


class _Without(ast.NodeTransformer):
    """Takes out what says a code: its condition turns false, its entry or statement is dropped."""

    def __init__(self, code: str, names: dict[str, Any]) -> None:
        self.code = code
        self.names = names
        self.changed = 0

    def says(self, *nodes: ast.AST) -> bool:
        return any(named(n, self.names) == self.code for node in nodes for n in ast.walk(node))

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if self.says(*node.body):
            node.test = ast.Constant(False)
            node.body = [ast.Pass()]
            self.changed += 1
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self.says(node.body):
            self.changed += 1
            return node.orelse
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        pairs = [
            pair for pair in zip(node.keys, node.values, strict=True) if not self.says(pair[1])
        ]
        self.changed += len(node.keys) - len(pairs)
        node.keys, node.values = [key for key, _ in pairs], [value for _, value in pairs]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        node = super().generic_visit(node)
        simple = (ast.Return, ast.Raise, ast.Expr, ast.Assign)
        if isinstance(node, simple) and self.says(node):
            self.changed += 1
            return ast.copy_location(ast.Pass(), node)
        return node


def function_at(place: str) -> FunctionType:
    """The function with this dotted name."""
    for dots in range(1, 3):
        module_name, *path = place.rsplit(".", dots)
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError:
            continue
        for part in path:
            found = getattr(found, part)
        unwrapped = inspect.unwrap(found)
        assert isinstance(unwrapped, FunctionType)
        return unwrapped
    raise AssertionError(f"there is no {place}")


def take_out(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the function of a guard by its twin without it."""
    code, _, place = guard.partition(" @ ")
    function = function_at(place)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef))
    definition.decorator_list = []
    without = _Without(code, function.__globals__)
    without.visit(definition)
    assert without.changed, f"nothing to take out: {guard}"
    scope = dict(function.__globals__)
    exec(compile(ast.fix_missing_locations(tree), place, "exec"), scope)  # noqa: S102  # our own source
    monkeypatch.setattr(function, "__code__", scope[definition.name].__code__)
