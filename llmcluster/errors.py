"""Turns expected failures into a message on stderr and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Turns expected errors into exit codes (see `planner.errors.failure`). Other exceptions are bugs and pass through.

    Args:
        as_json: Whether to print the error as JSON on stdout as well.
    """
    from planner.errors import EXPECTED, failure, failure_document
    from provider_catalog.text import printable

    try:
        yield
    except BrokenPipeError:
        # The reader of our output (a pager, head) has gone, so no message reaches it.
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        # Click would exit with 1, which means a bug here.
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except EXPECTED as error:
        code, message = failure(error)
        print(printable(message), file=sys.stderr)
        if as_json:
            import json

            print(json.dumps(failure_document(error), indent=2))
        sys.exit(code)
