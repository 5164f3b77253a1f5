"""Training: step time of a layout, and the search for the fastest layout of every cluster size."""

from planner.training.engine import TrainingEngine

__all__ = ["TrainingEngine"]
