"""Fuzzing of untrusted input: strategies, checks of messages and plans, and relations between plans.

The strategies for specs are built from the pydantic models, so that a new field is fuzzed without further work. CI runs
a share of the cases (tests/test_fuzz.py); `make fuzz` runs 20,000.
"""
