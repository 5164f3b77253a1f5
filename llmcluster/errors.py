"""Expected failures as exit codes (design contract): 2 wrong input, 3 infeasible, 4 outside tool or disk."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

WRONG_INPUT = 2
INFEASIBLE = 3
OUTSIDE_FAILED = 4


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the planner's errors into a message on stderr and an exit code."""
    from planner.errors import InfeasibleError, SpecError
    from provider_catalog.facts import CatalogError

    try:
        yield
    except (SpecError, CatalogError) as error:
        _fail(WRONG_INPUT, f"error: {error}")
    except InfeasibleError as error:
        lines = [f"infeasible: {error}", *(f"  {miss.candidate}: {miss.reason}" for miss in error.nearest)]
        _fail(INFEASIBLE, "\n".join(lines))
    except BrokenPipeError:
        # The reader of our output (a pager, head) has gone: nothing is left to say to it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(OUTSIDE_FAILED, f"error: {where}{error.strerror or error}")


def _fail(code: int, message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)
