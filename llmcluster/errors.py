"""Expected failures leave as a message on stderr and an exit code, never as a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Turn expected errors into exit codes (see `planner.errors.failure`); anything else is a bug and stays one.

    Args:
        as_json: Whether whoever reads the output expects JSON, and gets the error as such beside the message.
    """
    from planner.errors import EXPECTED, failure, failure_document
    from provider_catalog.text import printable

    try:
        yield
    except BrokenPipeError:
        # The reader of our output (a pager, head) has gone: nothing is left to say to it.
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        # Click would leave with 1, which is kept for bugs.
        print("interrupted; nothing was half-written", file=sys.stderr)
        sys.exit(130)
    except EXPECTED as error:
        code, message = failure(error)
        print(printable(message), file=sys.stderr)
        if as_json:
            import json

            print(json.dumps(failure_document(error), indent=2))
        sys.exit(code)
