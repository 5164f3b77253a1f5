"""What an engine hands to the search: candidates, near misses, and the protocol of an engine.

May import market, reliability, topology, sizing, plan and spec.
"""
