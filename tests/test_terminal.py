"""Untrusted text is printed literally: its markup is not interpreted, and it cannot control the terminal."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table

from llmcluster.cli import cli
from llmcluster.reports.terminal import terminal

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
}  # fmt: skip
HOSTILE_NAMES = [
    "[/]",
    "[bold]",
    "a[/red]b",
    "[link=https://x]y[/link]",
    "\x1b[2J\x9b31m",
    "a\nb\u202e",
    "x\\[",
    ":skull:",
    "\ud800",
]


def shown(text: str, *, markup: bool = True) -> str:
    screen = terminal()
    screen.file = io.StringIO()
    screen.print(text, markup=markup, highlight=False, soft_wrap=True)
    return screen.file.getvalue().rstrip("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[bold]cost[/] 3 USD", "cost 3 USD"),
        ("[bold]cost[/] of [/]", "cost of [/]"),
        ("[yellow]note[/] [q_proj, v_proj] and [1]", "note [q_proj, v_proj] and [1]"),
        ("[/] [bold] [x", "[/] [bold] [x"),
        ("[bold]a[/red]b[/]", "a[/red]b"),
        ("[link=file:///x]y[/link]", "[link=file:///x]y[/link]"),
        ("a\x1b[2Jb\x9b\u202e", "a\\x1b[2Jb\\x9b\\u202e"),
        ("c:\\[bold]x[/]", "c:\\x"),
        (":skull:", ":skull:"),
    ],
)
def test_only_our_own_markup_is_read(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_without_markup_everything_is_text() -> None:
    assert shown("[bold]x[/] \x1b", markup=False) == "[bold]x[/] \\x1b"


def test_untrusted_cells_and_titles_are_text() -> None:
    screen = terminal()
    screen.file = io.StringIO()
    table = Table("[/]", title="[/x]\x1b")
    table.add_row("a[/]\x1b[2J")
    screen.print(table)
    screen.rule("[bold]x[/][/]")
    text = screen.file.getvalue()
    assert "\x1b" not in text
    assert "a[/]\\x1b[2J" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_model_may_be_called_anything(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**LLAMA, "_name_or_path": name, "quantization_config": {"quant_method": name}}))
    spec = tmp_path / "chat.yaml"
    spec.write_text("name: chat\nmodel: config.json\nworkload: {kind: inference}\nplacement: {providers: [aws]}\n")
    for command in (["size", str(config)], ["plan", str(spec)], ["plan", str(spec), "--json"], ["compare", str(spec)]):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
        assert all(line.isprintable() for line in done.output.splitlines()), command
