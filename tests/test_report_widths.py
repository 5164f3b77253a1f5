"""Reports fit 80 and 120 columns, and no figure is cut for it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli

ROOT = Path(__file__).parent.parent
REPORTS = (
    "plan clusters/deepseek-r1-serving.yaml",
    "plan clusters/llama-65b-training-azure.yaml",
    "plan --detail clusters/deepseek-r1-serving.yaml",
    "plan --detail clusters/llama-65b-training.yaml",
    "size deepseek-ai/DeepSeek-R1 --guide",
    "size huggyllama/llama-65b",
    "catalog list",
    "mix clusters/deepseek-r1-serving.yaml",
    "mix clusters/llama-65b-training.yaml",
    "compare clusters/quickstart.yaml --co2 us",
    "compare --guide --peers",
    "cost clusters/llama-65b-training-azure.yaml",
    "diff clusters/llama-65b-training.yaml clusters/llama-65b-training-azure.yaml",
)
WHOLE_COLUMNS = 250
FIGURE = re.compile(r"(?<![\w./-])[+-]?\d[\d,]*(?:\.\d+)?%?(?![\w/-])")


def report(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    finished = CliRunner().invoke(cli, command.split(), env={"COLUMNS": str(columns)}, catch_exceptions=False)
    assert finished.exit_code == 0
    return finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", REPORTS)
def test_a_report_fits_its_width_and_keeps_every_figure(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = report(command, WHOLE_COLUMNS, monkeypatch)
    figures = set(FIGURE.findall(wide))
    assert len(figures) > 5
    for columns in (80, 120):
        text = report(command, columns, monkeypatch)
        too_long = [line for line in text.splitlines() if len(line) > columns]
        assert too_long == []
        assert "…" not in text
        assert figures - set(FIGURE.findall(text)) == set()


@pytest.mark.parametrize("columns", [80, 120])
def test_every_instance_type_is_listed_with_all_its_prices(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = report("catalog list --provider aws", columns, monkeypatch).splitlines()
    (row,) = (line.split() for line in lines if line.split()[:1] == ["p5.48xlarge"])
    # Name, "8 x H100", then on demand, Spot, one year, three years, capacity block.
    assert row[:4] == ["p5.48xlarge", "8", "x", "H100"]
    assert row[4] == "55.04" and row[8] == "41.53"
