"""Shows which plans, bills and documents a change alters, and that it leaves all others as they are.

Usage, once in a worktree of the old commit and once in that of the new one::

    python -m benchmarks.byte_identity write FOLDER
    python -m benchmarks.byte_identity compare OLD NEW [--strict] [--wording]

`write` synthesizes clusters/*.yaml, the scenarios of the guide, the AWS matrix of the tests and the Azure specs below.
It also keeps the comparison and the purchase mix of each example cluster. `compare` exits with 1 where the two folders
differ in more than wording, or at all under --strict. Wording is text for people: a note, a reason, a description, the
name of a cost line, a comment of a script. Its sentences may change freely; everything else must stay equal.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]

SCENARIOS: Final = ("scenario:real-time-chat", "scenario:batch-generation", "scenario:continued-training")

_TRAINING: Final = {"kind": "training", "tokens": 1e9, "deadline_days": 10}
_SERVING: Final = {"kind": "inference", "request_rate_per_s": 1, "prompt_tokens": 256, "output_tokens": 64}
AZURE: Final[tuple[tuple[str, int, dict[str, Any], dict[str, Any]], ...]] = (
    ("Standard_ND96asr_v4", 2, _TRAINING, {}),
    ("Standard_ND96amsr_A100_v4", 2, _TRAINING, {"storage": {"shared_tib": 4}}),
    ("Standard_ND96isr_H100_v5", 2, _TRAINING, {"capacity": {"interruption": "tolerate"}}),
    ("Standard_ND96isr_H200_v5", 1, _TRAINING, {"network": {"cidr": "10.0.0.0/20"}, "orchestrator": "none"}),
    ("Standard_NC24ads_A100_v4", 2, _SERVING, {"capacity": {"reservation": "none"}}),
    ("Standard_NC40ads_H100_v5", 2, _SERVING, {"capacity": {"demand": "business-hours", "interruption": "tolerate"}}),
)
"""Instance type, nodes, workload and further fields of the Azure specs."""

PROSE_KEYS: Final = frozenset(
    {
        "alarm_description",
        "assumption",
        "caveat",
        "comment",
        "description",
        "error_message",
        "method",
        "network",  # of a topology: a sentence about the network of the nodes
        "note",
        "notes",
        "rank",  # of memory_per_gpu: the rank that holds most
        "rate_source",
        "reason",
        "reasons",
        "spare_reason",
        "unknown",  # of a bill: names of its lines
        "warnings",
    }
)
"""Keys of JSON objects whose texts are for people."""
PROSE_BESIDE: Final = {
    "name": frozenset({"assumption", "unit_price_usd"}),  # a line of a bill, or of its range
    "source": frozenset({"as_of", "reason"}),  # of a price, or of an environment variable
}
"""Keys whose texts are for people in an object that also has one of these keys, and identifiers elsewhere."""
PROSE_OBJECTS: Final = ("/checkov", "/refused_engines")
"""Objects whose values are reasons, by the number of a rule or the name of an engine."""
_COMMENT: Final = re.compile(r"^\s*#(?!!|cloud-config).*\n?", re.MULTILINE)
_UNIT_DESCRIPTION: Final = re.compile(r"^(\s*Description=).*", re.MULTILINE)
_MISSING_VARIABLE: Final = re.compile(r"(\$\{\w+:\?)[^}]*")
_NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")
_NUMBER_OR_CODE: Final = re.compile(rf"`[^`]*`|{_NUMBER.pattern}")


@dataclass(frozen=True)
class Difference:
    """One value that two files do not share."""

    place: str
    old: str
    new: str
    wording: bool


def write(folder: Path) -> None:
    """Writes the stacks with plan, bill and launch script of every spec, and the reports of the example clusters.

    Everything goes through the command line, which keeps its shape when modules move.

    Raises:
        subprocess.CalledProcessError: a command failed; its message is on stderr.
    """
    examples = sorted((ROOT / "clusters").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for document in (*_aws_documents(), *azure_documents()):
            paths.append(Path(scratch, f"{document['name']}.yaml"))
            paths[-1].write_text(json.dumps(document))  # JSON is YAML
        specs = [str(path) for path in (*examples, *paths)]
        _llmcluster("synth", *specs, *SCENARIOS, "--no-hcl", "--out", str(folder.resolve()))
    for example in examples:
        for report in ("compare", "mix"):
            text = _llmcluster(report, str(example), "--json")
            (folder / f"{example.stem}.{report}.json").write_text(text)


def _aws_documents() -> list[dict[str, Any]]:
    from tests.support.aws_matrix import documents, own_network

    return [*documents(), own_network("vpc-0123456789abcdef0", "subnet-0123456789abcdef0")]


def azure_documents() -> Iterator[dict[str, Any]]:
    """Specs on Azure as a user writes them."""
    for number, (instance_type, nodes, workload, fields) in enumerate(AZURE):
        yield {
            "name": f"azure-{number}",
            "model": "Qwen/Qwen2.5-1.5B",
            "workload": workload,
            "placement": {"providers": ["azure"], "regions": ["eastus"]},
            "pin": {"instance_type": instance_type, "nodes": nodes},
            **fields,
        }


def _llmcluster(*arguments: str) -> str:
    # The catalog's prices, not those that a developer has refreshed.
    environment = {**os.environ, "LLMCLUSTER_PRICES": "none"}
    command = [sys.executable, "-m", "llmcluster", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def compare(old: Path, new: Path) -> dict[str, list[Difference]]:
    """Return the differences of every file of either folder, by its path; an empty list for identical files."""
    names = {str(path.relative_to(folder)) for folder in (old, new) for path in folder.rglob("*") if path.is_file()}
    return {name: list(_of_file(old / name, new / name)) for name in sorted(names)}


def _of_file(old: Path, new: Path) -> Iterator[Difference]:
    if not (old.is_file() and new.is_file()):
        was, now = ("there" if path.is_file() else "missing" for path in (old, new))
        yield Difference("file", was, now, wording=False)
        return
    old_text, new_text = old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8")
    if old_text == new_text:
        return
    if old.suffix == ".json":
        found = list(of_values(json.loads(old_text), json.loads(new_text)))
    elif old.suffix == ".md":
        found = list(_of_markdown(old_text, new_text))
    else:
        found = list(of_values(old_text, new_text))
    yield from found or [Difference("layout", "keys or white space", "in another order or form", wording=False)]


def of_values(old: Any, new: Any, place: str = "", *, prose: bool = False) -> Iterator[Difference]:
    """Yield where two JSON values differ. A text that holds JSON is compared as JSON, any other text as a script."""
    if type(old) is type(new) and isinstance(old, dict):
        if old.keys() != new.keys():
            yield Difference(f"{place}/ keys", *_only(list(old), list(new)), wording=False)
        for key in old:
            if key in new:
                yield from of_values(old[key], new[key], f"{place}/{key}", prose=_is_prose(place, key, old))
    elif type(old) is type(new) and isinstance(old, list):
        if len(old) != len(new):
            yield Difference(f"{place} length", *_only(old, new), wording=False)
        else:
            for number, (before, after) in enumerate(zip(old, new, strict=True)):
                yield from of_values(before, after, f"{place}/{number}", prose=prose)
    elif type(old) is not type(new):
        yield Difference(place, repr(old), repr(new), wording=False)
    elif old != new:
        yield from _of_scalars(old, new, place, prose=prose)


def _of_scalars(old: Any, new: Any, place: str, *, prose: bool) -> Iterator[Difference]:
    if not isinstance(old, str):
        yield Difference(place, repr(old), repr(new), wording=False)
        return
    old_document, new_document = _embedded(old), _embedded(new)
    if old_document is not None and new_document is not None:
        yield from of_values(old_document, new_document, place)
    elif prose:
        yield Difference(place, old, new, wording=True)
    else:
        before, after = without_prose(old), without_prose(new)
        if before == after:
            yield Difference(place, *_only(old.splitlines(), new.splitlines()), wording=True)
        else:
            yield Difference(place, *_only(before.splitlines(), after.splitlines()), wording=False)


def without_prose(script: str) -> str:
    """Return a script without comment lines, descriptions of units and messages about missing variables."""
    return _MISSING_VARIABLE.sub(r"\1", _UNIT_DESCRIPTION.sub(r"\1", _COMMENT.sub("", script)))


def _is_prose(place: str, key: str, owner: dict[str, Any]) -> bool:
    return (
        key in PROSE_KEYS or place.endswith(PROSE_OBJECTS) or not PROSE_BESIDE.get(key, frozenset()).isdisjoint(owner)
    )


def _embedded(text: str) -> Any:
    """Return the object or list that a text holds as JSON, or None."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_markdown(old: str, new: str) -> Iterator[Difference]:
    """Yield lines that differ: in wording where a line keeps its numbers, its code and its number of cells."""
    lines = old.splitlines(), new.splitlines()
    if len(lines[0]) != len(lines[1]):
        yield Difference("lines", *_only(*lines), wording=False)
        return
    for number, (before, after) in enumerate(zip(*lines, strict=True), start=1):
        if before != after:
            kept = _NUMBER_OR_CODE.findall(before) == _NUMBER_OR_CODE.findall(after)
            same_cells = before.count("|") == after.count("|")
            yield Difference(f"line {number}", before, after, wording=kept and same_cells)


def _only(old: list[Any], new: list[Any]) -> tuple[str, str]:
    """Return what only the old and only the new list holds."""
    only_old = [str(value) for value in old if value not in new]
    only_new = [str(value) for value in new if value not in old]
    return "\n".join(only_old), "\n".join(only_new)


def print_comparison(found: dict[str, list[Difference]], *, show_wording: bool) -> None:
    """Print the counts, each real difference, and on request each change of wording once."""
    differing = {name: [entry for entry in entries if not entry.wording] for name, entries in found.items()}
    differing = {name: entries for name, entries in differing.items() if entries}
    identical = sum(not entries for entries in found.values())
    print(f"identical:              {identical:4} files")
    print(f"differ in wording only: {len(found) - identical - len(differing):4} files")
    print(f"differ:                 {len(differing):4} files")
    for name, entries in differing.items():
        print(f"\n{name}: {len(entries)} differences")
        for entry in entries[:5]:
            print(f"  {entry.place}\n{_indented('-', entry.old)}\n{_indented('+', entry.new)}")
    wording = Counter((entry.old, entry.new) for entries in found.values() for entry in entries if entry.wording)
    numbers = sum(set(_NUMBER.findall(old)) != set(_NUMBER.findall(new)) for old, new in wording)
    print(f"\nwording: {len(wording)} different changes, {numbers} of them also change a number in a text (--wording)")
    if show_wording:
        for (old, new), times in wording.most_common():
            print(f"\n{times} times\n{_indented('-', old)}\n{_indented('+', new)}")


def _indented(sign: str, text: str) -> str:
    lines = text.splitlines() or [""]
    return "\n".join(f"    {sign} {line[:200]}" for line in lines[:8])


def main() -> int:
    """Run `write` or `compare`.

    Returns:
        0: written, or no real difference; 1: the folders differ; otherwise the exit code of the command that failed.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="write plans, bills and documents of every spec")
    writing.add_argument("folder", type=Path)
    comparing = commands.add_parser("compare", help="compare two folders that `write` wrote")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--strict", action="store_true", help="a change of wording is a difference too")
    comparing.add_argument("--wording", action="store_true", help="print every change of wording")
    arguments = parser.parse_args()
    if arguments.command == "write":
        try:
            write(arguments.folder)
        except subprocess.CalledProcessError as error:
            return error.returncode
        return 0
    found = compare(arguments.old, arguments.new)
    print_comparison(found, show_wording=arguments.wording)
    return any(entry for entries in found.values() for entry in entries if arguments.strict or not entry.wording)


if __name__ == "__main__":
    sys.exit(main())
