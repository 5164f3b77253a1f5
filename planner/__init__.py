"""Decisions: pure functions from a ClusterSpec and a Catalog to a Plan. No I/O, no clock, no cloud SDK."""
