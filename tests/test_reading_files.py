"""Untrusted files are read up to a size limit and only from permitted folders, and messages do not quote them."""

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.workspace.demand_file import read_demand
from planner.workspace.specs import load_spec
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model
from provider_catalog.text_files import UnreadableFileError, read_text_file
from provider_catalog.yaml_text import BrokenYamlError, parse_yaml

SECRET = "aws_secret_access_key = sesame\n[default]\n"
SPEC = "name: chat\nmodel: Qwen/Qwen2.5-7B\nworkload: {kind: inference}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text(SECRET)
    (tmp_path / "specs").mkdir()
    return tmp_path / "specs"


def said(path: Path) -> str:
    """Returns the output of `plan` for a spec, after checking that it exits with 2 and prints printable lines."""
    done = CliRunner().invoke(cli, ["plan", str(path)])
    assert done.exit_code == 2, done.output
    assert all(line.isprintable() for line in done.output.splitlines())
    assert "sesame" not in done.output
    assert "NoneType" not in done.output
    return done.output


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("spec", None),
        ("model", SPEC.replace("Qwen/Qwen2.5-7B", "./planted.json")),
        ("demand", SPEC + "capacity: {demand: planted.csv}\n"),
        ("prices", SPEC + "prices: planted.yaml\n"),
    ],
)
def test_links_out_of_the_folder_are_not_followed(kind: str, text: str | None, folder: Path) -> None:
    suffix = {"spec": "yaml", "model": "json", "demand": "csv", "prices": "yaml"}[kind]
    planted = folder / f"planted.{suffix}"
    planted.symlink_to(folder.parent / "outside")
    spec = planted
    if text is not None:
        spec = folder / "chat.yaml"
        spec.write_text(text)
    assert "symbolic link that leads out of the folder" in said(spec)


def test_links_within_the_folder_and_plain_paths_out_of_it_are_read(folder: Path) -> None:
    (folder / "real.txt").write_text("inside")
    (folder / "link.txt").symlink_to("real.txt")
    (folder.parent / "alias").symlink_to(folder)
    assert read_text_file(folder / "link.txt", largest_bytes=100, folder=folder) == "inside"
    assert read_text_file(folder / "../outside", largest_bytes=100, folder=folder) == SECRET
    # The folder itself may be a link, because the user chose it.
    assert read_text_file(folder.parent / "alias/link.txt", largest_bytes=100, folder=folder.parent / "alias")
    (folder / "out").symlink_to("..")
    with pytest.raises(UnreadableFileError, match="symbolic link"):
        read_text_file(folder / "out/outside", largest_bytes=100, folder=folder)


@pytest.mark.parametrize("text", [SECRET, "a: b: c\n", "- [x\n", "key: @sesame\n", "*sesame\n", "!sesame x\n", "%x\n"])
def test_a_file_that_is_something_else_is_not_quoted(text: str, folder: Path) -> None:
    """A user may name such a file by mistake, and a spec may name it on purpose."""
    text = text if "sesame" in text else text.replace("x", "sesame").replace("c", "sesame")
    for name in ("chat.yaml", "chat.csv", "chat.json"):
        (folder / name).write_text(text)
    said(folder / "chat.yaml")
    for line in ("model: ./chat.json", "capacity: {demand: chat.csv}", "prices: chat.yaml"):
        spec = folder / "spec.yaml"
        spec.write_text((SPEC.replace("model: Qwen/Qwen2.5-7B\n", "") if "model" in line else SPEC) + line + "\n")
        said(spec)


def test_environment_of_a_process_is_not_read(folder: Path) -> None:
    for path in (Path("/proc/self/environ"), Path("/proc/self/../self/environ")):
        with pytest.raises(UnreadableFileError, match="file system of the kernel"):
            read_text_file(path, largest_bytes=10**6)
    assert "file system of the kernel" in said(Path("/proc/self/environ"))


def test_pipes_devices_and_large_files_end_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    assert "a pipe, a socket or a device" in said(folder / "pipe.yaml")
    assert "a pipe, a socket or a device" in said(Path("/dev/zero"))
    assert "is a folder" in said(folder)
    with (folder / "large.yaml").open("wb") as file:
        file.truncate(50_000_000)
    assert "50,000,000 bytes" in said(folder / "large.yaml")
    for read in (lambda path: load_model(str(path)), read_demand, load_spec):
        with pytest.raises((CatalogError, SpecError)):
            read(folder / "pipe.yaml")


def test_a_file_that_grows_is_read_up_to_the_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a"
    path.write_text("abcd")
    real = os.fstat

    def empty(handle: int) -> os.stat_result:
        """Report a size of 0, as some network file systems do."""
        fields = list(real(handle))
        fields[6] = 0
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", empty)
    with pytest.raises(UnreadableFileError, match="larger than the 3 bytes"):
        read_text_file(path, largest_bytes=3)


@pytest.mark.parametrize("name", ["a" * 300 + ".yaml", "a" * 245 + ".yaml", "no/such\x1b[31m.yaml"])
def test_names_that_no_file_has_are_wrong_input(name: str, folder: Path) -> None:
    said(folder / name)


def test_a_name_with_nul_is_wrong_input(folder: Path) -> None:
    with pytest.raises(SpecError, match="characters that no file name can have"):
        load_spec(folder / "a\x00b.yaml")


def test_a_long_name_plans_without_a_lock(folder: Path) -> None:
    """A name of 246 bytes is valid, but with `.plan.json` it is too long, so that no lock can exist."""
    path = folder / ("a" * 246 + ".yaml")
    path.write_text(SPEC)
    assert CliRunner().invoke(cli, ["launch", str(path)]).exit_code == 0


# YAML


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when: 2026-13-01\n", "line 1, column 7: this looks like a date, but is not valid"),
        ("when: 2026-02-30 10:00:00\n", "this looks like a date"),
        (f"n: {'9' * 5000}\n", "an integer"),
        ("n: !!int x\n", "an integer"),
        ("n: !!float x\n", "a number"),
        ("n: !!bool x\n", "true or false"),
        ("n: !!timestamp x\n", "a date"),
        ("n: !!binary x\n", "not valid YAML"),
        ("n: !!python/object/apply:os.system [id]\n", "not valid YAML, line 1"),
        ("? [a]\n: b\n", "not valid YAML, line 1"),
        ("a: 1\na: 2\n", "key 'a' is repeated, line 2"),
        ("a: &a [*a]\n", "an alias is inside the value that it refers to"),
        ("a: *b\n", "not valid YAML, line 1"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 101 + "x", "nested too deeply"),
        ("\x00", "U+0000"),
        ("a: \x1b[2J", "U+001B"),
        (bomb(10, 9), "values with aliases expanded"),
        (bomb(40, 2), "values with aliases expanded"),
        ("a: &a {b: 1}\n" + "".join(f"m{i}: {{<<: [{', '.join(['*a'] * 2000)}]}}\n" for i in range(60)), "aliases"),
    ],
    ids=lambda text: text[:20] if text.isprintable() else "unprintable",
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    result: list[Any] = []

    def parse() -> None:
        try:
            result.append(parse_yaml(text))
        except BrokenYamlError as error:
            result.append(str(error))

    worker = threading.Thread(target=parse, daemon=True)
    worker.start()
    worker.join(60)
    assert result, "still reading after a minute"
    assert message in result[0]
    assert result[0].isprintable()


def test_yaml_that_is_read() -> None:
    text = "base: &b {x: 1}\nother: {<<: *b, y: [*b, *b]}\nday: 2026-12-10\nn: 0x1F\nempty:\n"
    read = parse_yaml(text)
    assert read["other"] == {"x": 1, "y": [{"x": 1}, {"x": 1}]}
    assert (str(read["day"]), read["n"], read["empty"]) == ("2026-12-10", 31, None)
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    "line",
    [
        'tags: {a: "\\ud800"}',
        '"\\ud800": x',
        '"\\e[2J": x',
        "tags: {a: 2026-12-10}",
        "placement: null",
        "tags: [a]",
        f"pin: {{nodes: {'9' * 4000}}}",
        f"workload: {{kind: inference, prompt_tokens: {'9' * 4000}}}",
        "workload: {kind: null}",
        "workload: null",
        "__proto__: {a: 1}",
        "capacity: {block: {start: 9999-12-31, days: 300}}",
    ],
)
def test_values_of_another_kind_name_their_field(line: str, folder: Path) -> None:
    spec = folder / "chat.yaml"
    key = line.split(":")[0]
    spec.write_text("".join(each for each in SPEC.splitlines(keepends=True) if not each.startswith(key)) + line + "\n")
    said_of = said(spec)
    assert len(said_of.splitlines()) <= 3
    if key.isalpha():
        assert re.search(rf"chat\.yaml:\d+:\d+: {key}", said_of)


@pytest.mark.parametrize("rows", [["9999-12-31T23:00", "9999-12-31T23:00"], ["1" * 5000], ["²"], ["0", "x" * 5000]])
def test_invalid_hours_are_refused(rows: list[str], folder: Path) -> None:
    path = folder / "hours.csv"
    filled = [*rows, *(str(hour) for hour in range(8760 - len(rows)))]
    path.write_text("hour,demand\n" + "".join(f"{hour},1\n" for hour in filled))
    with pytest.raises(SpecError, match="line") as refused:
        read_demand(path)
    assert len(str(refused.value)) < 400 + len(str(path))
