"""Runs each command that needs neither Node nor a network, and prints the SHA-256 of what it prints and writes.

The tests of determinism start this module in other environments: `python -m tests.support.every_command FOLDER`.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.testing import CliRunner

from llmcluster.cli import cli

SPEC: Final = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {kind: inference, request_rate_per_s: 2}
capacity: {demand: business-hours, time_zone: Europe/Berlin, interruption: tolerate}
placement: {providers: [aws], instance_types: [g6e.12xlarge, p5.4xlarge]}
tags: {team: search}
"""
TRAINING: Final = """
name: tune
model: Qwen/Qwen2.5-7B
workload: {kind: finetuning, tokens: 1e9, every_days: 60}
placement: {providers: [azure], instance_types: [Standard_ND96isr_H100_v5]}
"""
COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("plan", "chat.yaml", "--json"),
    ("plan", "chat.yaml", "--detail"),
    ("plan", "chat.yaml"),
    ("plan", "tune.yaml", "--detail"),
    ("plan", "chat.yaml", "--lock"),
    ("plan", "broken.yaml"),
    ("plan", "missing.yaml"),
    ("launch", "chat.yaml", "--out", "script"),
    ("launch", "tune.yaml"),
    ("cost", "chat.yaml"),
    ("mix", "chat.yaml"),
    ("diff", "chat.yaml", "tune.yaml", "--markdown"),
    ("compare", "chat.yaml"),
    ("size", "Qwen/Qwen2.5-7B", "--json"),
    ("scenario", "list"),
    ("spec", "schema"),
    ("spec", "reference"),
    ("spec", "explain", "workload"),
    ("spec", "validate", "chat.yaml", "tune.yaml"),
    ("models", "qwen"),
    (
        *("init", "first.yaml", "--model", "Qwen/Qwen2.5-7B", "--task", "serve", "--users", "200"),
        *("--requests-per-user-per-hour", "20", "--cloud", "aws"),
    ),
    ("catalog", "list"),
)
WITH_NODE_OR_NETWORK: Final = {"synth", "bootstrap-state", "demo", "preflight"}
"""Commands that start Node, whose documents `benchmarks.byte_identity` compares, and one that asks the cloud."""


def commands() -> set[str]:
    """Returns the names of all commands of the command line."""
    assert isinstance(cli, click.Group)
    return set(cli.commands)


def outputs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields each command with what it prints, and each file that it writes; `folder` is the working folder."""
    for name, text in (("chat.yaml", SPEC), ("tune.yaml", TRAINING), ("broken.yaml", SPEC + "bugdet: {}\n")):
        (folder / name).write_text(text)
    given = {path.name for path in folder.iterdir()}
    for command in COMMANDS:
        done = CliRunner().invoke(cli, list(command))
        assert done.exit_code in (0, 2), f"{command}: exit {done.exit_code}\n{done.output}{done.exception!r}"
        yield " ".join(command), done.output
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in given:
            yield path.name, path.read_text()


if __name__ == "__main__":
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in outputs(Path(sys.argv[1]))}
    sys.stdout.write(json.dumps(hashes))
