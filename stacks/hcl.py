"""Valid and readable HCL, from the HCL that cdktf renders.

cdktf 0.21 writes HCL without indentation, breaks quoted strings over lines, does not escape quotes and backslashes
beside a reference, omits the version of Terraform and defaults that are false, zero or empty, and writes conditions as
a list. This module repairs strings and defaults by the JSON document of the same stack, and lays the text out by the
rules of `terraform fmt`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from provider_catalog.text import shortened

_HEREDOC: Final = re.compile(r"<<(\w+)$")
_ASSIGNMENT: Final = re.compile(r'^(?P<name>"(?:[^"\\]|\\.)*"|[\w-]+) = (?P<value>.+)$')
_ADDRESS_LISTS: Final = tuple(f"{name} = [" for name in ("depends_on", "ignore_changes", "replace_triggered_by"))
_CONDITIONS: Final = re.compile(r"(precondition|postcondition) = \[")
_OPENING: Final = "{[("
_CLOSING: Final = "}])"
_MARKER: Final = "EOT"


def readable_hcl(rendered: str, document: dict[str, Any]) -> str:
    """The HCL of a stack: valid, and laid out so that `terraform fmt` changes nothing.

    Args:
        rendered: The `hcl` that `TerraformStack.to_hcl_terraform` returns.
        document: The result of `TerraformStack.to_terraform` for the same stack.

    Raises:
        ValueError: the text is not what cdktf renders (a string is not closed on its line), or a key of a mapping
            holds quotes or line breaks, which cdktf writes as they are.
    """
    _check_keys(document)
    return _explain(_layout(_mend_defaults(_mend_strings(rendered, document), document)), document)


def _check_keys(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "//":
                continue
            if "${" not in key and any(character in key for character in '\n\r"\\'):
                raise ValueError(f"the key {shortened(key)} holds quotes, a backslash or a line break")
            _check_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_keys(inner)


def _explain(hcl: str, document: dict[str, Any]) -> str:
    """Writes accepted findings as the comments that checkov reads, at the top of their resource."""
    for kind, resources in document.get("resource", {}).items():
        for name, resource in resources.items():
            reasons = resource.get("//", {}).get("checkov", {})
            comments = "".join(f"  # checkov:skip={check}: {reason}\n" for check, reason in sorted(reasons.items()))
            opening = f'resource "{kind}" "{name}" {{\n'
            hcl = hcl.replace(opening, opening + comments)
    return hcl


def _mend_strings(rendered: str, document: dict[str, Any]) -> str:
    # Longest first, because a short string may be part of a long one.
    for text in sorted(set(_strings(document)), key=lambda text: (-len(text), text)):
        meant = _literal(text)
        for written in (f'"{text}"', _quotes_escaped(text), f"<<EOF\n{text}\nEOF"):
            if written != meant:
                rendered = rendered.replace(f" {written}", f" {meant}").replace(f"\n{written}", f"\n{meant}")
    return rendered


def _mend_defaults(rendered: str, document: dict[str, Any]) -> str:
    for name, variable in document.get("variable", {}).items():
        default = variable.get("default", True)
        if not default and not isinstance(default, (list, dict)):
            opening = f'variable "{name}" {{\n'
            rendered = rendered.replace(opening, f"{opening}default = {json.dumps(default)}\n")
    if version := document.get("terraform", {}).get("required_version"):
        rendered = rendered.replace('0 = "required_version"\n', "")
        rendered = rendered.replace("terraform {\n", f"terraform {{\nrequired_version = {json.dumps(version)}\n", 1)
    return rendered


def _strings(value: Any) -> Iterator[str]:
    """Strings that cdktf may render wrongly: those with line feeds, quotes or backslashes."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "//":
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str) and any(character in value for character in '\n\\"'):
        yield value


def _quotes_escaped(text: str) -> str:
    return '"' + re.sub(r'(?<!\\)"', r"\"", text) + '"'


def _literal(text: str) -> str:
    if "\n" not in text:
        return f'"{_escaped(text)}"'
    marker = _MARKER
    # A line of the text that is the marker would end it, and what follows would be read as Terraform.
    while any(line.strip() == marker for line in text.split("\n")):
        marker += "_"
    if text.endswith("\n"):
        return f"<<{marker}\n{text}{marker}"
    # A heredoc ends with a line feed, which this text does not have.
    return f"chomp(<<{marker}\n{text}\n{marker}\n)"


def _escaped(text: str) -> str:
    """Escapes the literal parts of a template without line feeds, and leaves its expressions as they are."""
    parts, at = [], 0
    while at < len(text):
        if text.startswith(("$${", "%%{"), at):
            parts.append(text[at : at + 3])
            at += 3
        elif text.startswith(("${", "%{"), at):
            end = _end_of_expression(text, at + 2)
            parts.append(text[at:end])
            at = end
        else:
            named = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\r": "\\r"}.get(text[at], text[at])
            parts.append(named if ord(named[0]) >= ord(" ") else f"\\u{ord(named):04x}")
            at += 1
    return "".join(parts)


def _end_of_expression(text: str, at: int) -> int:
    """Index after the brace that closes an interpolation whose expression starts at `at`."""
    depth = 1
    while at < len(text):
        if text[at] == '"':
            at = _end_of_string(text, at)
            continue
        depth += (text[at] == "{") - (text[at] == "}")
        at += 1
        if depth == 0:
            return at
    raise ValueError(f"an interpolation does not end: {text[:80]!r}")


def _end_of_string(text: str, at: int) -> int:
    """Index after the quote that closes the string whose opening quote is at `at`."""
    at += 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text.startswith(("$${", "%%{"), at):
            at += 3
        elif text.startswith(("${", "%{"), at):
            at = _end_of_expression(text, at + 2)
        elif text[at] == '"':
            return at + 1
        else:
            at += 1
    raise ValueError(f"a string does not end on its line: {text[:80]!r}")


@dataclass
class _Line:
    text: str
    depth: int
    verbatim: bool = False
    """Whether the line is inside a heredoc, and must not change."""


def _layout(hcl: str) -> str:
    lines = _locals_last(_conditions_as_blocks(_content(hcl)))
    _tidy_lists(lines)
    lines = _indented(_joined_lists(lines))
    _align(lines)
    return "\n".join(line.text if line.verbatim else "  " * line.depth + line.text for line in lines) + "\n"


def _content(hcl: str) -> list[_Line]:
    """Lines without indentation and without empty lines; heredocs are left as they are."""
    lines: list[_Line] = []
    ends_with: str | None = None
    for raw in hcl.split("\n"):
        if ends_with is not None:
            lines.append(_Line(raw, 0, verbatim=True))
            ends_with = None if raw == ends_with else ends_with
            continue
        text = raw.strip()
        if text:
            lines.append(_Line(_unwrapped(text), 0))
            opened = _HEREDOC.search(text)
            ends_with = opened.group(1) if opened else None
    if ends_with is not None:
        raise ValueError(f"a heredoc does not end: {ends_with}")
    return lines


def _conditions_as_blocks(lines: list[_Line]) -> list[_Line]:
    """Turns `postcondition = [{...}]` into blocks, the only form of conditions that Terraform accepts."""
    result: list[_Line] = []
    name: str | None = None
    for line in lines:
        opened = None if line.verbatim else _CONDITIONS.fullmatch(line.text)
        if opened:
            name = opened.group(1)
        elif name and line.text == "]":
            name = None
        else:
            if name and line.text in ("{", "},"):
                line.text = f"{name} {{" if line.text == "{" else "}"
            result.append(line)
    return result


def _locals_last(lines: list[_Line]) -> list[_Line]:
    """Moves locals to the end: their scripts have hundreds of lines, and a reader wants the resources first."""
    others: list[_Line] = []
    moved: list[_Line] = []
    depth, within = 0, False
    for line in lines:
        within = within or (depth == 0 and not line.verbatim and line.text == "locals {")
        (moved if within else others).append(line)
        if not line.verbatim:
            depth += _net_brackets(line.text)
            within = within and depth > 0
    return others + moved


def _unwrapped(text: str) -> str:
    """Turns `a = "${b.c}"` into `a = b.c`: an interpolation that is the whole string needs no quotes."""
    assigned = _ASSIGNMENT.match(text)
    prefix, value = (f"{assigned['name']} = ", assigned["value"]) if assigned else ("", text)
    value, comma = (value[:-1], ",") if value.endswith(",") else (value, "")
    if value.startswith('"${') and value.endswith('}"') and _end_of_expression(value, 3) == len(value) - 1:
        return f"{prefix}{value[3:-2]}{comma}"
    return text


def _tidy_lists(lines: list[_Line]) -> None:
    """Adds a comma after the last element, and removes the quotes around addresses of meta-arguments.

    Terraform deprecates these quotes since 0.12.
    """
    addresses = False
    for line, following in pairwise(lines):
        if line.verbatim:
            continue
        addresses = line.text in _ADDRESS_LISTS or (addresses and not line.text.startswith("]"))
        if addresses and line.text.startswith('"'):
            line.text = line.text.replace('"', "")
        if following.text.startswith("]") and not line.text.endswith((",", "[")):
            line.text += ","


def _joined_lists(lines: list[_Line]) -> list[_Line]:
    """Writes lists with one short element on one line."""
    joined: list[_Line] = []
    for line in lines:
        if (
            len(joined) >= 2
            and line.text.rstrip(",") == "]"
            and not any(part.verbatim for part in (line, *joined[-2:]))
            and joined[-2].text.endswith("[")
            and _net_brackets(joined[-1].text) == 0
            and len(joined[-2].text + joined[-1].text) < 100
        ):
            element = joined.pop()
            joined[-1].text += element.text.rstrip(",") + line.text
        elif (
            joined
            and line.text.rstrip(",") in ("]", "}")
            and not (line.verbatim or joined[-1].verbatim)
            and joined[-1].text.endswith((" [", " {"))
        ):
            joined[-1].text += line.text
        else:
            joined.append(line)
    return joined


def _indented(lines: list[_Line]) -> list[_Line]:
    """Sets the depth of lines, and puts one empty line between blocks."""
    result: list[_Line] = []
    open_blocks: list[bool] = []
    after_opening, after_block = True, False
    for line in lines:
        if line.verbatim:
            result.append(line)
            continue
        closing = len(line.text) - len(line.text.lstrip(_CLOSING))
        is_block = line.text.endswith(("{", "{}")) and not _ASSIGNMENT.match(line.text)
        if closing == 0 and (after_block or (is_block and not after_opening)):
            result.append(_Line("", 0))
        line.depth = len(open_blocks) - closing
        after_block = is_block and line.text.endswith("}")
        for _ in range(closing):
            after_block = open_blocks.pop()
        opened = _net_brackets(line.text) + closing
        open_blocks += [is_block] * opened
        after_opening = opened > 0
        result.append(line)
    return result


def _net_brackets(text: str) -> int:
    at = net = 0
    while at < len(text):
        if text[at] == '"':
            at = _end_of_string(text, at)
            continue
        net += (text[at] in _OPENING) - (text[at] in _CLOSING)
        at += 1
    return net


def _align(lines: list[_Line]) -> None:
    """Aligns the equals signs of neighbouring one-line arguments."""
    group: list[tuple[_Line, str, str]] = []
    # A heredoc is part of its argument, so that the line after it is still a neighbour.
    for line in [*(line for line in lines if not line.verbatim), _Line("", -1)]:
        assigned = _ASSIGNMENT.match(line.text)
        whole = assigned is not None and _net_brackets(assigned["value"]) == 0
        if group and (not whole or group[0][0].depth != line.depth):
            width = max(len(name) for _, name, _ in group)
            for member, name, value in group:
                member.text = f"{name:<{width}} = {value}"
            group = []
        if assigned is not None and whole:
            group.append((line, assigned["name"], assigned["value"]))
