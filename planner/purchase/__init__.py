"""How nodes are bought: the mix of reserved, Spot and on-demand nodes, its policies, simulation and terms.

May import engine, market, reliability, topology, sizing, plan and spec.
"""
