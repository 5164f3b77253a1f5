"""Failures of a training run: their rate, the cost of checkpoints and restarts, and the goodput that is left.

May import sizing, plan and spec.
"""
