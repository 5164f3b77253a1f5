"""Timings of what a user waits for. They print figures and judge nothing: a loaded machine is not a failed test."""
