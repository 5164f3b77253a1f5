"""Failures of a training run: how often, what a checkpoint and a restart take, and what share of the time is left."""
