"""Entry point of the command line, kept light: `--help` imports click and nothing of the planner."""

import sys


def main() -> None:
    """Run the command line; every expected failure becomes a message on stderr and an exit code, never a traceback.

    Exit codes: 0 done, 2 wrong input, 3 no feasible plan, 4 an outside service, tool or disk failed.
    """
    from llmcluster.cli import cli

    try:
        cli()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
