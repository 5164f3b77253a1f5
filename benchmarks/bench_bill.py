"""Wall time of the commands about money, interpreter start included."""

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import ROOT, command_s, print_table

SERVING, TRAINING = "clusters/quickstart.yaml", "clusters/llama-65b-training.yaml"


def main() -> None:
    """Time the commands and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        command_s([sys.executable, "-m", "llmcluster", "synth", SERVING, "--out", str(out), "--no-hcl"])
        commands = {
            "cost SPEC": ["cost", SERVING],
            "cost FOLDER": ["cost", str(out)],
            "mix SPEC": ["mix", SERVING],
            "diff SPEC SPEC": ["diff", SERVING, TRAINING],
            "diff FOLDER SPEC": ["diff", str(out), SERVING],
            "compare SPEC": ["compare", SERVING],
            "catalog list": ["catalog", "list"],
            "catalog verify": ["catalog", "verify"],
        }
        rows = {name: [timed(arguments) for _ in range(5)] for name, arguments in commands.items()}
    print_table(f"Commands about money, in {ROOT.name}", rows, target_s=1)


def timed(arguments: list[str]) -> float:
    """Return the wall time of one command in seconds."""
    return command_s([sys.executable, "-m", "llmcluster", *arguments])


if __name__ == "__main__":
    main()
