"""Timings, accuracy against published figures, and the comparison of two versions' output.

They print tables; no test depends on a timing. May import every package.
"""
