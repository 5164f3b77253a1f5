"""Entry point of the command line, kept light: `--help` imports click and nothing of the planner."""

import gc
import io
import sys

OBJECTS_BEFORE_COLLECTION = 100_000
"""A command ends before cycles add up: at Python's 700 the collector would take 4 to 6% of the time of a plan."""


def main() -> None:
    """Run the command line; every expected failure becomes a message on stderr and an exit code, never a traceback.

    Exit codes: 0 done, 2 wrong input, 3 no feasible plan, 4 an outside service, tool or disk failed.
    """
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an arrow on an ASCII terminal is no reason to fail
    try:
        from llmcluster.cli import cli

        cli()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        # Of click's own output, such as --help onto a full disk; those of commands have left as exit codes.
        print(f"error: {error.strerror or error}", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
