"""YAML that somebody else wrote: safe types only, bounded in what it expands to, errors without its content."""

from collections.abc import Hashable
from typing import Any, Final

import yaml

from provider_catalog.errors import CatalogError
from provider_catalog.text import shortened

LARGEST_DOCUMENT_NODES: Final = 200_000
"""Values of a document with every alias counted as what it stands for; a year of hours is 8,760."""
DEEPEST_NESTING: Final = 100


class BrokenYamlError(CatalogError):
    """A text is no YAML that is read; the message says where and names no content but a key given twice."""


def parse_yaml(text: str) -> Any:
    """The document of a YAML text.

    Raises:
        BrokenYamlError: it is no YAML, gives a key twice, nests or expands too far, or holds a value that is not of
            the type that it is written as (a month 13, an integer of 5,000 digits).
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except BrokenYamlError:
        raise
    except yaml.MarkedYAMLError as error:
        raise BrokenYamlError(f"not valid YAML{_where(error.problem_mark or error.context_mark)}") from None
    except yaml.reader.ReaderError as error:
        raise BrokenYamlError(
            f"not valid YAML: the character U+{_code(error.character):04X} at position {error.position} is not allowed"
        ) from None
    except yaml.YAMLError:
        raise BrokenYamlError("not valid YAML") from None
    except RecursionError:
        raise BrokenYamlError("nested too deeply for a spec") from None


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML would let the last one win, and what grows out of hand."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        _refuse_bombs(node)
        return self.construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise BrokenYamlError(f"not valid YAML: key {shortened(key)} stands twice{_where(key_node.start_mark)}")
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, CatalogError, RecursionError):
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = node.tag.rpartition(":")[2] if node.tag.startswith("tag:yaml.org,2002:") else "value"
            raise BrokenYamlError(
                f"not valid YAML{_where(node.start_mark)}: it reads as {_KINDS.get(kind, 'a value')} and is none;"
                " correct it, or put text in quotes"
            ) from None


_KINDS: Final = {
    "timestamp": "a date",
    "int": "an integer (of at most 4,300 digits)",
    "float": "a number",
    "bool": "true or false",
    "binary": "base64",
}


def _refuse_bombs(root: yaml.Node) -> None:
    """Counts the values below every node once; an alias adds what it stands for."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if id(node) in sizes:
            continue
        inner = _children(node)
        if done:
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in inner)
            if sizes[id(node)] > LARGEST_DOCUMENT_NODES:
                raise BrokenYamlError(
                    f"more than {LARGEST_DOCUMENT_NODES:,} values once its aliases are written out; write fewer"
                )
            continue
        open_nodes.add(id(node))
        if len(open_nodes) > DEEPEST_NESTING:
            raise BrokenYamlError(f"nested too deeply for a spec: more than {DEEPEST_NESTING} levels")
        stack.append((node, True))
        for child in inner:
            if id(child) in open_nodes:
                raise BrokenYamlError(f"an alias stands inside what it names{_where(child.start_mark)}")
            stack.append((child, False))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _where(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _code(character: Any) -> int:
    return ord(character) if isinstance(character, str) else int(character)
