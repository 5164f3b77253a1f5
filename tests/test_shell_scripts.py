"""shellcheck reads every shell script that we write or generate."""

import email
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.launch.commands import Launch
from planner.launch.launch_files import launch_files
from planner.launch.training_launch import training_launch
from tests.support.aws_stacks import FEATURES, cluster_plan, synthesize
from tests.support.azure_stacks import documents
from tests.support.launches import ENGINES, SOFTWARE, SPECS, TRAINING, architecture, planned, serving
from tests.support.nodes import NODES, files
from tests.support.plans import example_plan

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "cdk" / "bootstrap" / "templates"
HERE_DOCUMENT = re.compile(r"^cat > (\S+) << '(\w+)'\n(.*?)^\2$", re.MULTILINE | re.DOTALL)
# As they stand in YAML: a script in a block, and a command in a list.
SHELL = re.compile(r"^ *#!.*sh\b", re.MULTILINE)
COMMAND = re.compile(r"^ *- (?:ba)?sh\n *- -c$", re.MULTILINE)


@pytest.fixture(scope="session")
def shellcheck() -> str:
    beside_python = Path(sys.executable).with_name("shellcheck")
    found = str(beside_python) if beside_python.exists() else shutil.which("shellcheck")
    if not found:
        pytest.skip("shellcheck is not installed: `make setup` brings it")
    return found


def complaints(shellcheck: str, scripts: Mapping[str, str], folder: Path) -> list[str]:
    """Return shellcheck's findings of every severity, and disabled checks that give no reason."""
    paths = []
    for name, text in scripts.items():
        path = folder / re.sub(r"[^\w.-]+", "-", name).strip("-")
        assert not path.exists(), name
        path.write_text(text)
        paths.append(str(path))
    done = subprocess.run(
        [shellcheck, "--norc", "--shell=bash", "--severity=style", "--format=gcc", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    bare = [
        f"{name}: no reason beside `{line.strip()}`"
        for name, text in scripts.items()
        for line in text.splitlines()
        if re.fullmatch(r"\s*# shellcheck disable=\S+\s*", line)
    ]
    return [*done.stdout.splitlines(), *bare]


def embedded(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield all scripts of a document by their place, also those inside YAML and MIME texts."""
    if isinstance(value, Mapping) and "path" in value and "content" in value:
        yield from embedded(value["content"], f"{name}-{Path(value['path']).name}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from embedded(inner, f"{name}-{key}")
    elif isinstance(value, list | tuple) and len(value) > 2 and value[0] in ("bash", "sh") and value[1] == "-c":
        yield f"{name}-command", value[2]
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from embedded(inner, f"{name}-{index}")
    elif isinstance(value, str) and SHELL.match(value):
        yield name, value
        for path, _, text in HERE_DOCUMENT.findall(value):
            yield from embedded(text, f"{name}-{Path(path).name}")
    elif isinstance(value, str) and (SHELL.search(value) or COMMAND.search(value)):
        if value.startswith("MIME-Version:"):
            parts: list[Any] = [part.get_payload() for part in email.message_from_string(value).walk()]
            inside = list(embedded([part for part in parts if isinstance(part, str)], name))
        else:
            inside = list(embedded(list(yaml.safe_load_all(value)), name))
        read = sum(text.startswith("#!") for _, text in inside)
        assert (read, len(inside) - read) == (len(SHELL.findall(value)), len(COMMAND.findall(value))), (
            f"{name} holds a script that is not read"
        )
        yield from inside


def test_shellcheck_accepts_the_scripts_of_every_kind_of_node(shellcheck: str, tmp_path: Path) -> None:
    scripts = {
        f"{kind}-{Path(path).name}": text
        for kind, node in NODES.items()
        for path, text in files(node).items()
        if text.startswith("#!") or path.endswith(".sh")
    }
    assert complaints(shellcheck, scripts, tmp_path) == []


@pytest.mark.slow
def test_shellcheck_accepts_the_scripts_in_the_documents(shellcheck: str, tmp_path: Path) -> None:
    plans = {name: cluster_plan(name) for name in ("p4d_gang_spot", "g6_single")}
    plans |= {name: FEATURES[name] for name in ("open", "closed", "watched", "kubernetes", "slurm")}
    over_efa = {"orchestrator": "slurm", "storage": {"lustre": {"efa": True}}}
    plans["slurm-efa"] = example_plan(instance_type="p5.48xlarge", nodes=2, spec=over_efa)
    found: dict[str, str] = {}
    for name, plan in plans.items():
        for role, document in synthesize(plan, tmp_path / name).items():
            found |= dict(embedded({**document, "addresses": {}}, f"{name}-{role}"))
    for role, document in documents(example_plan("azure")).items():
        found |= dict(embedded(document, f"azure-{role}"))
    (tmp_path / "scripts").mkdir()
    assert complaints(shellcheck, found, tmp_path / "scripts") == []
    templates = {path.name: path.read_text() for path in TEMPLATES.glob("*.j2")}
    written = "\n".join(found.values())
    unread = {name for name, text in templates.items() if SHELL.match(text) and purpose(text) not in written}
    assert unread == set()


def purpose(template: str) -> str:
    """Return the part of a script's first comment that all configurations share."""
    return next(line for line in template.splitlines() if line.startswith("# ")).partition("{{")[0]


def test_shellcheck_accepts_the_launch_scripts(shellcheck: str, tmp_path: Path) -> None:
    launches: dict[str, Launch] = {f"{engine}-{name}": serving(name, engine) for engine in ENGINES for name in SPECS}
    launches["megatron"] = training_launch(planned("training"), architecture(TRAINING["model"]), SOFTWARE)
    scripts = {
        f"{name}-{file}": text
        for name, launch in launches.items()
        for file, text in launch_files(launch).items()
        if text.startswith("#!")
    }
    assert len(scripts) >= len(launches)
    assert complaints(shellcheck, scripts, tmp_path) == []


def test_shellcheck_accepts_the_scripts_of_this_repository(shellcheck: str, tmp_path: Path) -> None:
    scripts = {path.name: path.read_text() for path in (ROOT / ".ci").iterdir()}
    assert "run" in scripts
    assert complaints(shellcheck, scripts, tmp_path) == []


def test_shellcheck_finds_a_fault_in_an_embedded_script(shellcheck: str, tmp_path: Path) -> None:
    text = "#cloud-config\nwrite_files:\n- path: /usr/local/sbin/faulty\n  content: |\n    #!/bin/sh\n    cd $1\n"
    document = {"resource": {"aws_launch_template": {"nodes": {"user_data": text}}}}
    scripts = dict(embedded(document, "faulty"))
    assert any("SC2086" in line for line in complaints(shellcheck, scripts, tmp_path))
