"""Inference: latency, throughput and fit of one layout, and the fleet that carries a load."""

from planner.inference.engine import InferenceEngine
from planner.inference.replica import Replica

__all__ = ["InferenceEngine", "Replica"]
