"""The contract between engines and the search: candidates, near misses and the engine protocol.

May import market, reliability, topology, sizing, plan and spec.
"""
