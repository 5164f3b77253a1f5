"""A test that hangs fails within minutes, says where, and keeps no other from running."""

import os
import sys
from pathlib import Path

import pytest

from tests.support import processes

ROOT = Path(__file__).parents[1]
HANGING = {
    "call": "import subprocess\n\ndef test_it():\n    subprocess.run(['sleep', '300'])\n",
    "fixture": "import pytest, threading\n\n@pytest.fixture\ndef event():\n    threading.Event().wait()\n\n"
    "def test_it(event):\n    pass\n",
}
AFTER = "\n\ndef test_after():\n    pass\n"


@pytest.mark.parametrize("where", sorted(HANGING))
def test_a_test_that_hangs_fails_and_the_next_one_runs(where: str, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(HANGING[where] + AFTER)
    plugins = ["-p", "tests.support.time_limit", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "-q", "-o", "time_limit_s=0.5", "test_sample.py"]
    done = processes.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout_s=60)
    assert done.returncode == 1, done.stderr
    assert "over 0.5 s" in done.stdout
    assert HANGING[where].split("    ")[1].split("\n")[0] in done.stdout
    assert "1 passed" in done.stdout
