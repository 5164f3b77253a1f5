"""Evaluates those Terraform expressions that decide how much is built.

These are variables (at their defaults), locals, attributes of other resources, and conditionals on a variable. All
other expressions are left as they are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_WHOLE: Final = re.compile(r"\$\{([^{}]*)\}")
_EMBEDDED: Final = re.compile(r"\$\{(local\.[\w-]+)\}")
_CHOICE: Final = re.compile(r'var\.([\w-]+)(?:\s*(==|!=)\s*"([^"]*)")?\s*\?(.*)', re.DOTALL)
_NAMED: Final = re.compile(r"(var|local)\.([\w-]+)")
_ATTRIBUTE: Final = re.compile(r"([a-z0-9_]+\.[\w-]+)\.([a-z0-9_]+)")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_UNKNOWN: Final = object()


@dataclass(frozen=True)
class Scope:
    """Values of the names in a document."""

    variables: Mapping[str, Any]
    """Default values of variables."""
    locals: Mapping[str, Any]
    arguments: Mapping[str, Mapping[str, Any]]
    """Arguments of resources, by address."""

    def resolved(self, value: Any) -> Any:
        """`value`, with every expression replaced that this scope can evaluate."""
        if isinstance(value, Mapping):
            return {name: self.resolved(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.resolved(each) for each in value]
        whole = _WHOLE.fullmatch(value) if isinstance(value, str) else None
        if whole is None:
            return value
        found = self._of(whole.group(1))
        return value if found is _UNKNOWN else found

    def filled(self, text: str) -> str:
        """`text`, with references to locals replaced that are numbers or strings."""

        def fill(match: re.Match[str]) -> str:
            found = self._of(match.group(1))
            return str(found) if isinstance(found, str | int | float) else match.group(0)

        return _EMBEDDED.sub(fill, text)

    def _of(self, expression: str) -> Any:
        text = _unwrapped(expression)
        if _NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
        if choice := _CHOICE.fullmatch(text):
            return self._chosen(*choice.groups())
        if named := _NAMED.fullmatch(text):
            known = self.variables if named.group(1) == "var" else self.locals
            return self.resolved(known[named.group(2)]) if named.group(2) in known else _UNKNOWN
        if attribute := _ATTRIBUTE.fullmatch(text):
            return self.arguments.get(attribute.group(1), {}).get(attribute.group(2), _UNKNOWN)
        return _UNKNOWN

    def _chosen(self, variable: str, operator: str | None, literal: str | None, branches: str) -> Any:
        if variable not in self.variables:
            return _UNKNOWN
        value = self.variables[variable]
        holds = bool(value) if operator is None else (value == literal) == (operator == "==")
        then, colon, otherwise = _branches(branches)
        return self._of(then if holds else otherwise) if colon else _UNKNOWN


def _unwrapped(text: str) -> str:
    """`text` without the parentheses around all of it."""
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    depth = 0
    for index, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return index
    return -1


def _branches(text: str) -> tuple[str, str, str]:
    """The two branches of a conditional, and the colon between them."""
    depth = nested = 0
    for index, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        nested += sign == "?" and not depth
        if sign == ":" and not depth:
            if not nested:
                return text[:index], sign, text[index + 1 :]
            nested -= 1
    return text, "", ""
