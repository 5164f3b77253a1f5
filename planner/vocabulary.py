"""Types of values that occur in specs, layouts and plans alike."""

from typing import Literal

ZeroStage = Literal[0, 1, 2, 3]
"""ZeRO stage. Data-parallel ranks shard nothing at 0, optimizer state at 1, gradients too at 2, weights too at 3
(arXiv 1910.02054)."""
Recompute = Literal["none", "selective", "full"]
"""Activations that the backward pass recomputes (arXiv 2205.05198)."""
Schedule = Literal["1f1b", "interleaved", "zero-bubble", "dualpipe"]
"""Schedule of forward and backward passes in a pipeline."""
