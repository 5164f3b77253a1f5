"""The training engine: it predicts step time and memory of a training run and searches its layout.

May import cost, purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
