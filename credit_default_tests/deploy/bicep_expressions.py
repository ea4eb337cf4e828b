"""Expressions of Bicep, evaluated: as much of the language as our files use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

_ESCAPES = {"\\n": "\n", "\\'": "'", "\\\\": "\\", "\\t": "\t", "\\r": "\r", "\\$": "$"}


class BicepError(Exception):
    """The compiler, or Azure, would refuse this."""


class Symbols(Protocol):
    """What an expression may speak of."""

    def symbol(self, name: str) -> Any:
        """Return what a symbol of the file stands for."""

    def call(self, name: str, arguments: list[Any]) -> Any:
        """Call one of Bicep's functions."""


def text(node: Any) -> str:
    """Return a node as it is written."""
    return str(node.text.decode())


def parts(node: Any) -> list[Any]:
    """Return the parts of a node that mean something."""
    return [child for child in node.named_children if child.type != "comment"]


class Evaluator:
    """Evaluates expressions of one file."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols

    def value(self, node: Any, local: Mapping[str, Any] | None = None) -> Any:
        """Return the value of an expression, in which a loop may have named something."""
        evaluate = getattr(self, f"_{node.type}", None)
        if evaluate is None:
            raise BicepError(f"{node.type} is not supported here: {text(node)}")
        return evaluate(parts(node), local or {}, node)

    def _string(self, pieces, local, _):
        return "".join(
            str(self.value(parts(piece)[0], local))
            if piece.type == "interpolation"
            else re.sub(r"\\.", lambda escape: _ESCAPES[escape[0]], text(piece))
            for piece in pieces
        )

    def _number(self, _, __, node):
        return json.loads(text(node))

    _boolean = _null = _number

    def _array(self, items, local, _):
        return [self.value(item, local) for item in items]

    def _object(self, properties, local, _):
        pairs = (parts(one) for one in properties)
        return {
            text(key) if key.type == "identifier" else self.value(key, local): self.value(value, local)
            for key, value in pairs
        }

    def _identifier(self, _, local, node):
        return local[text(node)] if text(node) in local else self._symbols.symbol(text(node))

    def _parenthesized_expression(self, inner, local, _):
        return self.value(inner[0], local)

    def _member_expression(self, sides, local, _):
        return _item(self.value(sides[0], local), text(sides[1]))

    def _subscript_expression(self, sides, local, _):
        return _item(self.value(sides[0], local), self.value(sides[1], local))

    def _unary_expression(self, inner, local, node):
        assert text(node).startswith("!")
        return not self.value(inner[0], local)

    def _ternary_expression(self, sides, local, _):
        condition, consequence, alternative = sides
        return self.value(consequence if self.value(condition, local) else alternative, local)

    def _binary_expression(self, sides, local, node):
        operator = text(node.children[1])
        left = self.value(sides[0], local)
        if operator == "&&" and not left:
            return False
        right = self.value(sides[1], local)
        operators: dict[str, Callable[[], Any]] = {
            "&&": lambda: right,
            "==": lambda: left == right,
            "!=": lambda: left != right,
            ">": lambda: left > right,
        }
        return operators[operator]()

    def _for_statement(self, clause, local, _):
        name, items, body = clause
        return [self.value(body, {**local, text(name): item}) for item in self.value(items, local)]

    def _call_expression(self, sides, local, _):
        name, arguments = sides
        return self._symbols.call(text(name), [self.value(argument, local) for argument in parts(arguments)])


def _item(container: Any, key: Any) -> Any:
    if isinstance(container, list) and isinstance(key, int) and 0 <= key < len(container):
        return container[key]
    if not isinstance(container, Mapping) or key not in container:
        raise BicepError(f"there is no {key} in {container!r}")
    return container[key]
