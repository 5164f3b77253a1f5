"""Plans of serving specs."""

from functools import cache
from typing import Any

from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model


@cache
def model(name: str) -> ModelArchitecture:
    return load_model(name, None)


def serve(name: str, workload: dict[str, Any], **rest: Any) -> Plan:
    document = {"name": "chat", "model": name, "workload": {"kind": "inference", **workload}, **rest}
    return plan(read_spec(document, "spec"), model(name), Catalog.load())


def performance(decided: Plan) -> InferencePerformance:
    assert isinstance(decided.performance, InferencePerformance)
    return decided.performance
