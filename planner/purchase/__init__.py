"""The purchase mix of reserved, Spot and on-demand nodes: policies, simulation and commitment terms.

May import engine, market, reliability, topology, sizing, plan and spec.
"""
