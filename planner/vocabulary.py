"""Values that specs, layouts and plans share, written once."""

from typing import Literal

ZeroStage = Literal[0, 1, 2, 3]
"""What data-parallel ranks shard: nothing, optimizer state, gradients as well, weights as well (arXiv 1910.02054)."""
Recompute = Literal["none", "selective", "full"]
"""Which activations the backward pass computes again (arXiv 2205.05198)."""
Schedule = Literal["1f1b", "interleaved", "zero-bubble", "dualpipe"]
"""Order of forward and backward passes in a pipeline."""
