"""In CI a skipped test fails the run: otherwise CI without Terraform would pass and have validated nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each of these tests runs pytest.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SKIPPING = {
    "test": "import pytest\n\ndef test_it():\n    pytest.skip('no terraform here')\n",
    "fixture": "import pytest\n\n@pytest.fixture\ndef tool():\n    pytest.skip('no terraform here')\n\n"
    "def test_it(tool):\n    pass\n",
    "module": "import pytest\n\npytest.skip('no terraform here', allow_module_level=True)\n",
}
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"


def run_pytest(folder: Path, source: str, *, forbid: bool) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(source)
    env = os.environ | {"PYTHONPATH": str(ROOT), "CI": "true", "LLMCLUSTER_FORBID_SKIPS": "1" if forbid else "0"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.forbid_skips",
        "-p",
        "no:cacheprovider",
        "-q",
        "-ra",
    ]
    return subprocess.run(
        [*command, "test_sample.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("where", sorted(SKIPPING))
def test_a_skip_fails_the_run_and_shows_its_reason(where: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, SKIPPING[where], forbid=True)
    assert done.returncode not in (0, 5), done.stdout
    assert "no terraform here" in done.stdout
    assert " skipped" not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("where", sorted(SKIPPING))
def test_elsewhere_a_skip_stays_a_skip(where: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, SKIPPING[where], forbid=False)
    assert "1 skipped" in done.stdout


def test_an_expected_failure_is_not_a_skip(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, EXPECTED_FAILURE, forbid=True).returncode == 0
