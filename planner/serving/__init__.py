"""The serving engine: latency and throughput of replicas, queueing, fleet size and software requirements.

May import cost, purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
