"""The suite keeps its own order: modules stand alone, and no test with an outside program lacks the marker of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCES = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
IMPORT_OF_A_TEST_MODULE = re.compile(r"\btests\.test_\w+\b|\bfrom tests import .*\btest_")
# Tests reach these programs through fixtures alone, because fixtures set the markers. `Apply` is handed a Terraform.
PROGRAM = re.compile(r"""which\(["']terraform|(?<![\w\])])\[["']terraform["']|\bTerraform\(|node_modules|/cdktf["']""")
HOLDERS = {
    f"tests/{name}.py"
    for name in ("conftest", "support/interruption", "support/markers", "support/terraform", "test_suite_structure")
}
BY_FIXTURE = """
import pytest

@pytest.fixture
def terraform(): ...

@pytest.fixture
def cdktf_cli(): ...

@pytest.fixture
def project(cdktf_cli, terraform): ...

def test_plain(): ...
def test_terraform(terraform): ...
def test_npm(project): ...
"""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_module_imports_a_test_module() -> None:
    # What two of them need is a module of tests/support.
    importing = [name(path) for path in SOURCES if IMPORT_OF_A_TEST_MODULE.search(path.read_text(encoding="utf-8"))]
    assert importing == []


def test_terraform_and_npm_are_started_through_their_fixtures_alone() -> None:
    starting = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in SOURCES
        if path.is_relative_to(TESTS) and name(path) not in HOLDERS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if PROGRAM.search(line)
    ]
    assert starting == []


def test_the_fixture_sets_the_marker(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(BY_FIXTURE)
    plugins = ["-p", "tests.support.markers", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--collect-only", "-q", "-m", "terraform and not npm", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    # test_plain would be there if it had a marker, and test_npm if its fixture had brought one marker only.
    assert re.findall(r"::(\w+)$", done.stdout, re.MULTILINE) == ["test_terraform"], done.stdout + done.stderr
