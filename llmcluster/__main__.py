"""Entry point of the command line. It stays light: `--help` imports click and nothing of the planner."""

import gc
import io
import sys

OBJECTS_BEFORE_COLLECTION = 100_000
"""Objects that Python allocates before it collects cycles. A command ends before cycles add up; with Python's default
of 700 the collector takes 4 to 6% of the time of a plan."""


def main() -> None:
    """Runs the command line. Every expected failure becomes a message on stderr and an exit code, not a traceback.

    Exit codes: 0 done, 2 wrong input, 3 no feasible plan, 4 an outside service, tool or disk failed.
    """
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal must not make an arrow a failure
    try:
        from llmcluster.cli import cli

        cli()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        # Click's own output failed, such as --help on a full disk. Errors of commands are handled in `exit_codes`.
        print(f"error: {error.strerror or error}", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
