"""Wall time of whole commands, interpreter start included. Each round runs all of them, so that load hits all alike."""

import sys

from benchmarks.timing import command_s, print_table

SPEC = "clusters/quickstart.yaml"
COMMANDS = ("--help", f"plan {SPEC}", f"cost {SPEC}", f"mix {SPEC}", f"compare {SPEC}", "size 65B")
ROUNDS = 10


def main() -> None:
    """Time the commands and print the table."""
    commands = {f"llmcluster {words}": [sys.executable, "-m", "llmcluster", *words.split()] for words in COMMANDS}
    # What no command can do without: the interpreter, and the libraries that read the command line and the spec.
    libraries = "from click import Command; from pydantic import BaseModel; from yaml import load"
    commands["only its libraries"] = [sys.executable, "-c", libraries]
    commands["python -c pass"] = [sys.executable, "-c", "pass"]
    rows: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            rows[name].append(command_s(command))
    print_table("Commands, whole process", rows)
    print("target: --help under 0.3 s, a plan under 1 s, on a machine with nothing else to do")


if __name__ == "__main__":
    main()
