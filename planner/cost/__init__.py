"""The bill of a candidate: lines, totals, bounds for unpriced items, cost of repeated updates.

May import purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
