"""Expected errors: every class has one of the documented exit codes, and what is no expected error stays a bug."""

import errno

import pytest

from planner.errors import EXPECTED, InfeasibleError, SpecError, failure, failure_document
from provider_catalog.errors import CatalogError, LiveError, LlmclusterError, NoAnswerError


# CONTRIBUTING.md: 2 wrong input, 3 nothing fits, 4 an outside service failed.
@pytest.mark.parametrize(
    ("error", "code", "kind", "message"),
    [
        (SpecError("gpus is 0"), 2, "wrong input", "error: gpus is 0"),
        (CatalogError("unknown gpu"), 2, "wrong input", "error: unknown gpu"),
        (InfeasibleError("too little memory"), 3, "infeasible", "infeasible: too little memory"),
        (LiveError("throttled"), 4, "outside failed", "error: throttled"),
        (NoAnswerError("no network"), 4, "outside failed", "error: no network"),
    ],
)
def test_the_class_of_an_error_decides_its_exit_code(error: Exception, code: int, kind: str, message: str) -> None:
    assert isinstance(error, EXPECTED)
    assert failure(error) == (code, message)
    document = failure_document(error)["error"]
    assert isinstance(document, dict)
    assert (document["exit_code"], document["kind"]) == (code, kind)


def test_an_error_of_the_operating_system_is_an_outside_failure() -> None:
    code, message = failure(OSError(errno.ENOSPC, "No space left on device", "plan.json"))
    assert code == 4
    assert message.startswith("error: plan.json: No space left on device")


def test_any_other_exception_is_a_bug_and_raised_again() -> None:
    assert not isinstance(ValueError("slip"), EXPECTED)
    with pytest.raises(ValueError, match="slip"):
        failure(ValueError("slip"))


def test_every_class_of_expected_error_has_a_documented_exit_code() -> None:
    waiting, concrete = [LlmclusterError], []
    while waiting:
        below = waiting.pop().__subclasses__()
        concrete += below
        waiting += below
    assert {SpecError, CatalogError, InfeasibleError, LiveError} <= set(concrete)
    assert all(each.exit_code in (2, 3, 4) and each.kind and each.__doc__ for each in concrete)
