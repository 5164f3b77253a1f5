"""Timings, accuracy tables and comparisons. They print figures; no test depends on a timing."""
