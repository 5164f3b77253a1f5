"""Parses untrusted YAML: safe types only, limited expansion, and error messages that do not quote it."""

from collections.abc import Hashable, Sequence
from typing import Any, Final

import yaml

from provider_catalog.errors import CatalogError
from provider_catalog.text import shortened

LARGEST_DOCUMENT_NODES: Final = 200_000
"""Largest number of values in a document with aliases expanded. A spec with the hours of a year has about 8,760."""
DEEPEST_NESTING: Final = 100
"""Largest number of nested levels in a document."""


class BrokenYamlError(CatalogError):
    """A text is not acceptable YAML. The message states the place and quotes nothing but a repeated key."""


def parse_yaml(text: str) -> Any:
    """Returns the document of a YAML text.

    Raises:
        BrokenYamlError: the text is not YAML, repeats a key, nests or expands too far, or contains a value that cannot
            exist, such as a date with month 13 or an integer of 5,000 digits.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
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


def position(text: str, keys: Sequence[int | str]) -> str:
    """Returns line and column of a key path as ":line:column", of its nearest part that stands in the text.

    Args:
        text: A YAML text that `parse_yaml` reads.
        keys: Keys of mappings and indices of lists, from the outside in.
    """
    node = yaml.compose(text, Loader=_Loader)
    mark = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            mark = node.start_mark
        else:
            break
    return "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, of which it would keep the last, and documents that expand too far."""

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
                raise BrokenYamlError(f"not valid YAML: key {shortened(key)} is repeated{_where(key_node.start_mark)}")
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
                f"not valid YAML{_where(node.start_mark)}: this looks like {_KINDS.get(kind, 'a value')}, but is not"
                " valid; correct it, or put text in quotes"
            ) from None


_KINDS: Final = {
    "timestamp": "a date",
    "int": "an integer (of at most 4,300 digits)",
    "float": "a number",
    "bool": "true or false",
    "binary": "base64",
}


def _refuse_bombs(root: yaml.Node) -> None:
    """Refuses documents with too many values or levels; an alias counts as all values that it expands to."""
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
                raise BrokenYamlError(f"more than {LARGEST_DOCUMENT_NODES:,} values with aliases expanded; write fewer")
            continue
        open_nodes.add(id(node))
        if len(open_nodes) > DEEPEST_NESTING:
            raise BrokenYamlError(f"nested too deeply for a spec: more than {DEEPEST_NESTING} levels")
        stack.append((node, True))
        for child in inner:
            if id(child) in open_nodes:
                raise BrokenYamlError(f"an alias is inside the value that it refers to{_where(child.start_mark)}")
            stack.append((child, False))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _where(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _code(character: Any) -> int:
    return ord(character) if isinstance(character, str) else int(character)
