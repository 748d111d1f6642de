"""Splits a test (`assert f(2) == 4`) into an expression for the sandbox and a comparison for the engine.

If a test compares a computed value with a constant, the constant stays in the engine: the program computes the value,
and the comparison runs out of its reach. Other tests run unchanged in the process of the program, which could fake
their result, so they are the weaker check. Pure: runs nothing and does not depend on the sandbox.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["value", "truth", "run"]

NO_LITERAL = object()
"""Placeholder for a value that is not a plain literal; equal to nothing."""

_COMPARE: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_SWAPPED = {"==": "==", "!=": "!=", "is": "is", "is not": "is not", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRAPPERS = frozenset("set frozenset sorted list tuple dict len sum min max abs round str int float bool type".split())
_MAKERS: Mapping[str, Callable[..., object]] = {
    "set": set,
    "frozenset": frozenset,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "sorted": sorted,
    "float": float,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_LARGEST_POWER = 4096
_CLOSE_OPTIONS = ("rel_tol", "abs_tol")
_GUARDED = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError, ZeroDivisionError)


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of a test."""

    kind: Kind
    """Whether `code` is evaluated for its value or its truth, or run as a statement."""
    code: str
    holds: Callable[[object], bool]
    """Predicate on the returned value (or NO_LITERAL) that is true if the check passes. Never raises."""

    @property
    def strong(self) -> bool:
        """Whether the comparison is made outside the sandbox, where the program can't influence it."""
        return self.kind != "run"


class _NotConstant(Exception):
    """An expression contains something other than constants."""


def checks(test: str) -> tuple[Check, ...]:
    """Return the checks of a test in order. Raises ValueError if the test is empty or not Python."""
    try:
        body = ast.parse(test.strip()).body
    except _GUARDED as error:
        raise ValueError(f"the test {test.strip()[:80]!r} isn't Python ({error})") from None
    found: list[Check] = []
    for statement in body:
        strong = _parts(statement.test) if isinstance(statement, ast.Assert) else None
        if strong is None:
            # Statements may depend on one another, so the test is run unchanged.
            return (Check("run", test.strip(), lambda value: True),)
        found += strong
    if not found:
        raise ValueError("the test is empty")
    return tuple(found)


def read_literal(text: str) -> object:
    """Parse a literal that the sandbox returned; NO_LITERAL if it is none. Never raises.

    The text is untrusted: it may contain thousands of brackets, very long numbers or sets of lists.
    """
    try:
        value: object = ast.literal_eval(text)
    except _GUARDED:
        return NO_LITERAL
    return value


def _parts(test: ast.expr) -> list[Check] | None:
    """Return the strong checks of an asserted expression; None if it has to be run unchanged."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        parts = [_parts(value) for value in test.values]
        return None if None in parts else [check for part in parts for check in part or ()]
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        check = _comparison(test.left, _COMPARE[type(test.ops[0])], test.comparators[0])
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        check = _truth(test.operand, False)
    else:
        check = _closeness(test) or _truth(test, True)
    return None if check is None else [check]


def _comparison(left: ast.expr, sign: str, right: ast.expr) -> Check | None:
    for asked, constant, meant in ((left, right, sign), (right, left, _SWAPPED.get(sign))):
        if meant is None:
            continue
        try:
            expected = _constant(constant)
        except _NotConstant:
            continue
        if _is_asked(asked):
            return Check("value", ast.unparse(asked), _compared(meant, expected))
        if near := _nearness(asked, meant, expected):
            return near
    return None


def _compared(sign: str, expected: object) -> Callable[[object], bool]:
    compare: Mapping[str, Callable[[object, object], object]] = {
        "==": operator.eq,
        "!=": operator.ne,
        "is": lambda value, other: type(value) is type(other) and value == other,
        "is not": lambda value, other: type(value) is not type(other) or value != other,
        "<": operator.lt,  # type: ignore[dict-item]
        "<=": operator.le,  # type: ignore[dict-item]
        ">": operator.gt,  # type: ignore[dict-item]
        ">=": operator.ge,  # type: ignore[dict-item]
        "in": lambda value, other: value in other,  # type: ignore[operator]
        "not in": lambda value, other: value not in other,  # type: ignore[operator]
    }

    def holds(value: object) -> bool:
        if value is NO_LITERAL:
            return sign in ("!=", "is not", "not in")
        try:
            return bool(compare[sign](value, expected))
        except _GUARDED:
            return False

    return holds


def _nearness(asked: ast.expr, sign: str, bound: object) -> Check | None:
    """Return the check of `abs(f(x) - 3.14) < 0.01`: only f(x) is evaluated, so that the program does not see 3.14."""
    if not (isinstance(asked, ast.Call) and isinstance(asked.func, ast.Name) and asked.func.id == "abs"):
        return None
    inside = asked.args[0] if len(asked.args) == 1 and not asked.keywords else None
    if not (isinstance(inside, ast.BinOp) and isinstance(inside.op, ast.Sub) and sign in ("<", "<=")):
        return None
    for one, other in ((inside.left, inside.right), (inside.right, inside.left)):
        try:
            target = _constant(other)
        except _NotConstant:
            continue
        if _is_asked(one):
            return Check("value", ast.unparse(one), _within(target, _compared(sign, bound)))
    return None


def _within(target: object, near_enough: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: near_enough(_distance(value, target))


def _closeness(test: ast.expr) -> Check | None:
    """Return the check of `math.isclose(f(x), 3.14, rel_tol=…)`."""
    if not (
        isinstance(test, ast.Call) and ast.unparse(test.func) in ("math.isclose", "isclose") and len(test.args) == 2
    ):
        return None
    try:
        options = {str(option.arg): _constant(option.value) for option in test.keywords}
        if not set(options) <= set(_CLOSE_OPTIONS):
            return None
        first_is_constant = not _is_asked(test.args[0])
        expected = _constant(test.args[0 if first_is_constant else 1])
    except _NotConstant:
        return None
    asked = test.args[1 if first_is_constant else 0]
    if not _is_asked(asked):
        return None

    def holds(value: object) -> bool:
        try:
            return math.isclose(value, expected, **options)  # type: ignore[arg-type]
        except _GUARDED:
            return False

    return Check("value", f"float({ast.unparse(asked)})", holds)


def _truth(asked: ast.expr, expected: bool) -> Check | None:
    """Return the check of `assert f(x)`; None for `assert same(f(x), 4)`, whose arguments contain the answer."""
    call = asked
    while isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _WRAPPERS and call.args:
        call = call.args[0]
    arguments = [*call.args, *(option.value for option in call.keywords)] if isinstance(call, ast.Call) else []
    if not _is_asked(asked) or any(isinstance(node, ast.Call) for one in arguments for node in ast.walk(one)):
        return None
    return Check("truth", ast.unparse(asked), lambda value: value is expected)


def _is_asked(node: ast.expr) -> bool:
    """Check whether a node is a call, a name, or part of one: computed by the program and free of the answer."""
    if isinstance(node, ast.Subscript | ast.Attribute):
        return _is_asked(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WRAPPERS and node.args:
        return _is_asked(node.args[0])
    return isinstance(node, ast.Call | ast.Name)


def _constant(node: ast.expr) -> object:
    """Evaluate an expression of constants, with bounded powers. Raises _NotConstant for other expressions."""
    try:
        return _value(node)
    except _GUARDED:
        raise _NotConstant from None


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords and len(node.args) < 2:
        maker = _MAKERS.get(node.func.id)
        if maker is None:
            raise _NotConstant
        return maker(*(_value(argument) for argument in node.args))
    if isinstance(node, ast.BinOp) and not (
        isinstance(node.right, ast.Constant) and isinstance(node.right.value, complex)
    ):
        left, right = _number(_value(node.left)), _number(_value(node.right))
        if isinstance(node.op, ast.Pow):
            if abs(right) > _LARGEST_POWER or abs(left) > _LARGEST_POWER:
                raise _NotConstant
            return left**right
        work = _ARITHMETIC.get(type(node.op))
        if work is None:
            raise _NotConstant
        return work(left, right)
    return ast.literal_eval(node)


def _number(value: object) -> int | float:
    if isinstance(value, int | float):
        return value
    raise _NotConstant


def _distance(value: object, target: object) -> object:
    try:
        return abs(value - target)  # type: ignore[operator]
    except _GUARDED:
        return NO_LITERAL
