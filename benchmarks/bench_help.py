"""Wall time of ``llmcluster --help``, interpreter start included."""

import sys

from benchmarks.timing import command_s, print_table


def main() -> None:
    """Time it and print the table."""
    commands = {
        "llmcluster --help": [sys.executable, "-m", "llmcluster", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    rows: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10):
        for name, command in commands.items():
            rows[name].append(command_s(command))
    print_table("Start-up", rows, target_s=0.3)


if __name__ == "__main__":
    main()
