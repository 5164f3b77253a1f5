"""Timings of what a user waits for, and accuracy against published figures.

They print tables and judge nothing, because a loaded machine is not a failed test. May import every package.
"""
