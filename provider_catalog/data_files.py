"""Readers of data files: a CSV or YAML row becomes a Fact, or an error that names file, line and column."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from provider_catalog.errors import CatalogError
from provider_catalog.rules import rule_of_error
from provider_catalog.text import one_line, shortened
from provider_catalog.text_files import MissingFileError, read_text_file
from provider_catalog.yaml_text import parse_yaml

if TYPE_CHECKING:
    from pydantic import ValidationError

    from provider_catalog.facts import Fact

LARGEST_FOREIGN_BYTES: Final = 2_000_000
"""Bytes that are read of a file of prices or figures; 10,000 lines of prices take half of them."""

FactT = TypeVar("FactT", bound="Fact")

# The loader of libyaml is about ten times faster than the pure Python loader, but some PyYAML builds lack it.
_YAML_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The rows of a CSV file, each with the number of its last line; an empty cell is None.

    Raises:
        CatalogError: the file is missing or is not text, or a row has more or fewer cells than the header.
    """
    with _open(path) as lines:
        reader = csv.reader(lines)
        try:
            header = next(reader, None)
            if header is None:
                raise CatalogError(f"{path}: the file is empty; its first line must name the columns")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise CatalogError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, but the header names {len(header)} "
                        "columns; quote a cell that holds a comma"
                    )
                yield reader.line_num, {column: cell or None for column, cell in zip(header, cells, strict=True)}
        except (UnicodeDecodeError, csv.Error) as error:
            raise CatalogError(f"{path}, after line {reader.line_num}: not CSV in UTF-8 ({error})") from error


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        CatalogError: the file is missing or not YAML.
    """
    with _open(path) as text:
        try:
            return yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506 - both loaders are the safe ones
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise CatalogError(f"{path}: not valid YAML: {error}") from error


def read_foreign_yaml(path: Path, folder: Path | None = None) -> Any:
    """The document of a YAML file that is not of this package: bounded, and its content is in no message.

    Args:
        path: The file.
        folder: See `read_text_file`.

    Raises:
        CatalogError: the file cannot be read or must not be, or is not YAML.
    """
    try:
        return parse_yaml(read_text_file(path, largest_bytes=LARGEST_FOREIGN_BYTES, folder=folder))
    except MissingFileError as error:
        raise CatalogError(f"{path}: cannot be read, {error}; name a YAML file") from None
    except CatalogError as error:
        raise CatalogError(f"{path}: {error}") from None


def fact(model: type[FactT], row: Mapping[str, Any], where: str) -> FactT:
    """Make a `model` of a row.

    Args:
        model: The kind of fact that the row describes.
        row: The values by field name, as the file holds them.
        where: The file and the line or entry, for the error message.

    Raises:
        CatalogError: a value is missing, misspelt or out of range; the message names the column and the value.
    """
    from pydantic import ValidationError  # imported here: reading rows alone does not need pydantic

    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise CatalogError(f"{where}: {'; '.join(_problems(error, model))}") from error


def _problems(error: "ValidationError", model: "type[Fact]") -> Iterator[str]:
    for problem in error.errors(include_url=False):
        column = one_line(".".join(str(part)[:80] for part in problem["loc"]))
        if problem["type"] == "missing":
            yield f"column {column!r} is missing"
        elif problem["type"] == "extra_forbidden":
            yield f"unknown column {column!r}; the columns are {', '.join(model.model_fields)}"
        elif problem["input"] is None:
            yield f"column {column!r} is empty"
        else:
            given = "" if isinstance(problem["input"], Mapping) else f" is {shortened(problem['input'])}"
            yield f"column {column!r}{given}: {rule_of_error(problem)}" if column else rule_of_error(problem)


def _open(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read ({error.strerror}); is the data folder complete?") from error
