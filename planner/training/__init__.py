"""The training engine: step time, memory and layouts of a training run.

May import cost, purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
