"""The bill of a candidate: line items, totals, bounds for unpriced items, the cost of repeated updates.

May import purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
