"""The default screen of `llmcluster plan`: short, 80 columns wide, and in agreement with the plan."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from llmcluster.cli import cli

ROOT = Path(__file__).parent.parent
EXAMPLES = ("deepseek-r1-serving", "quickstart", "llama-65b-training", "llama-65b-training-azure")
CHAT: dict[str, Any] = {
    "name": "chat",
    "model": "mistralai/Mistral-7B-v0.1",
    "workload": {"kind": "inference", "request_rate_per_s": 1, "slo": {"ttft_ms": 1000, "tpot_ms": 50}},
    "placement": {"providers": ["aws"], "regions": ["us-east-1"]},
}
PROPOSAL = re.compile(r"^    ([\w.]+): (\S+) +([\d.,]+)([kM]?) USD/(month|run) +−(\d+)%  (.+)$", re.MULTILINE)
FACTOR = {"": 1.0, "k": 1e3, "M": 1e6}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "chat.yaml"
    path.write_text(yaml.safe_dump({**CHAT, **changes}))
    return path


def shown(path: Path, *options: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["plan", str(path), *options], env=env, catch_exceptions=False)


def decided(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(shown(path, "--json").stdout)
    return document


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_takes_about_twenty_lines_of_eighty_columns(name: str) -> None:
    lines = shown(ROOT / "clusters" / f"{name}.yaml").stdout.splitlines()
    assert len(lines) <= 30
    # A command with the path of this checkout is never broken.
    assert all(len(line) <= 80 for line in lines if str(ROOT) not in line)
    assert not any(line.endswith(" ") or "…" in line for line in lines)


def test_the_screen_states_the_figures_of_the_plan(tmp_path: Path) -> None:
    path = written(tmp_path)
    plan, text = decided(path), shown(path).stdout
    choice, performance, cost = plan["choice"], plan["performance"], plan["cost"]
    assert text.startswith("chat  Mistral-7B-v0.1 for 1 request/s")
    assert text.splitlines()[0].endswith("✓ meets load and SLO")
    assert f"{choice['nodes']} × {choice['instance_type']}" in text
    assert f"{cost['usd_per_month']:,.0f} USD/month (likely" in text
    assert f"{performance['batch']} in flight, {performance['max_concurrency']} possible" in text
    assert f"p95 {performance['queueing']['ttft_ms']['p95']:.0f} ms with queueing" in text
    assert f"llmcluster synth {path}\n" in text
    assert "SLO against prediction" not in text
    assert "SLO against prediction" in shown(path, "--detail").stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deepseek-r1-serving", "quickstart", "llama-65b-training"])
def test_each_cheaper_change_holds_and_costs_what_it_says_when_the_spec_makes_it(name: str, tmp_path: Path) -> None:
    source = ROOT / "clusters" / f"{name}.yaml"
    document, now = yaml.safe_load(source.read_text()), decided(source)["cost"]
    proposals = PROPOSAL.findall(shown(source).stdout)
    assert 1 <= len(proposals) <= 3
    for field, value, amount, factor, period, percent, _ in proposals:
        part, key = field.split(".")
        changed = {**document, part: {**document.get(part, {}), key: yaml.safe_load(value)}}
        path = tmp_path / f"{key}.yaml"
        path.write_text(yaml.safe_dump(changed))
        usd = decided(path)["cost"][f"usd_per_{period}"]
        assert usd == pytest.approx(float(amount.replace(",", "")) * FACTOR[factor], rel=0.05)
        assert 1 - usd / now[f"usd_per_{period}"] == pytest.approx(int(percent) / 100, abs=0.006)
        assert usd < now[f"usd_per_{period}"]


def test_nothing_is_proposed_that_the_spec_says_already(tmp_path: Path) -> None:
    agreed = {"capacity": {"commitment": "3-year", "interruption": "tolerate"}, "precision": {"weights": "fp8"}}
    proposed = {(field, value) for field, value, *_ in PROPOSAL.findall(shown(written(tmp_path, **agreed)).stdout)}
    said = {(f"{part}.{key}", value) for part, fields in agreed.items() for key, value in fields.items()}
    assert proposed.isdisjoint(said)
    assert not {field for field, _ in proposed} & {"capacity.interruption", "precision.weights"}


def test_a_missed_slo_and_a_missed_load_come_first(tmp_path: Path) -> None:
    workload = {"kind": "inference", "request_rate_per_s": 100, "slo": {"ttft_ms": 1000, "tpot_ms": 15}}
    pin = {"instance_type": "g6e.xlarge", "nodes": 1}
    path = written(tmp_path, workload=workload, pin=pin)
    lines = shown(path).stdout.splitlines()
    assert re.match(r"✗ misses the load: carries [\d.]+ of 100 requests/s$", lines[0])
    assert any(re.match(r"✗ misses the SLO: TPOT mean is [\d.]+ ms, the limit is 15 ms$", line) for line in lines[:3])
    assert "meets" not in "".join(lines)
    assert "Cheaper" not in "".join(lines)
    assert any("What would help" in line for line in lines)


def test_a_missed_deadline_comes_first(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "clusters" / "llama-65b-training.yaml").read_text())
    document["pin"] = {"nodes": 54}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(document))
    assert re.match(r"✗ misses the deadline: takes \d+(\.\d)? days, allowed are 60\n", shown(path).stdout)


def test_training_states_the_price_of_the_run_the_slack_and_the_effective_days() -> None:
    path = ROOT / "clusters" / "llama-65b-training.yaml"
    plan, text = decided(path), shown(path).stdout
    days = plan["performance"]["days"]
    assert f"{plan['cost']['usd_per_run']:,.0f} USD for the run (likely" in text
    assert "USD/month" not in text
    assert f"{60 - days:.3g} days slack" in text
    assert f"{days * plan['performance']['goodput']:.3g} effective days" in text


def run_in_terminal(environment: dict[str, str], *arguments: str) -> bytes:
    """Output of a process on a pseudo-terminal."""
    import pty

    main, worker = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmcluster", *arguments], cwd=ROOT, stdout=worker, env={**os.environ, **environment}
    )
    os.close(worker)
    output = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(main)
    assert process.wait(timeout=60) == 0
    return output


@pytest.mark.slow
def test_colours_appear_only_on_terminals_that_want_them() -> None:
    arguments = ("plan", "clusters/quickstart.yaml")
    clean = {name: "" for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE") if name in os.environ}
    assert b"\x1b[32m" in run_in_terminal({**clean, "TERM": "xterm", "COLUMNS": "80"}, *arguments)
    assert b"\x1b[3" not in run_in_terminal({"TERM": "xterm", "NO_COLOR": "1"}, *arguments)
    assert b"\x1b" not in run_in_terminal({**clean, "TERM": "dumb"}, *arguments)
    assert "\x1b" not in shown(ROOT / "clusters" / "quickstart.yaml").stdout


def test_an_output_without_utf8_gets_ascii() -> None:
    command = [sys.executable, "-m", "llmcluster", "plan", "clusters/quickstart.yaml"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, timeout=120, check=True)
    assert b"1 x g6e.xlarge" in finished.stdout
    assert finished.stdout.isascii()
