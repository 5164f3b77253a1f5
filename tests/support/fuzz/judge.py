"""Runs one case and asserts what holds for it; failures are AssertionErrors or the exception that escaped."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from llmcluster.reports.plan_text import print_plan
from planner.errors import InfeasibleError, SpecError
from planner.plan.plan import Plan
from planner.relax.decide import decide
from planner.spec import ClusterSpec, NominalModel
from planner.spec.model_limits import within_model
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.errors import CatalogError, LlmclusterError
from provider_catalog.models import load_model
from tests.support.fuzz.documents import SpecCase
from tests.support.fuzz.invariants import check_plan
from tests.support.fuzz.messages import check_message
from tests.support.fuzz.values import CATALOG


def judge_spec(case: SpecCase, folder: Path) -> Plan | None:
    """Reads and plans a spec as `llmcluster plan` does; asserts its message, or the invariants of its plan."""
    names = _names(case.changed)
    try:
        spec = read_spec(case.document, "spec.yaml")
        architecture = model_of(spec, folder)
        spec = within_model(spec, architecture)
        plan, _ = decide(spec, architecture, CATALOG)
    except (SpecError, CatalogError, InfeasibleError) as error:
        check_message(error, names)
        return None
    check_plan(plan, architecture, folder)
    check_printed(plan)
    return plan


def model_of(spec: ClusterSpec, folder: Path) -> ModelArchitecture:
    """Loads the model of a spec.

    Raises:
        SpecError: there is no such model.
    """
    reference = spec.model.model_dump() if isinstance(spec.model, NominalModel) else spec.model
    try:
        return load_model(reference, folder, confined=True)
    except CatalogError as error:
        raise SpecError(f"spec.yaml: model: {error}") from error


def check_printed(plan: Plan) -> None:
    """Asserts that the report of a plan is printable lines."""
    with redirect_stdout(io.StringIO()) as screen:
        print_plan(plan)
    unprintable = [line for line in screen.getvalue().split("\n") if not line.isprintable()]
    assert unprintable == []


def check_error(error: LlmclusterError, names: Sequence[object] = ()) -> None:
    """Asserts that a message is fit to print and names one of the changed things."""
    check_message(error, names)


def _names(changed: Sequence[Sequence[Any]]) -> list[object]:
    # A rule about a whole block, such as pin.node, names the block by its path.
    blocks = (".".join(map(str, path[:-1])) for path in changed if len(path) > 2)
    return [*(path[-1] for path in changed if path), *blocks]
