"""The serving engine: TTFT, TPOT and throughput of replicas, queueing, fleets, software requirements.

May import cost, purchase, engine, market, reliability, topology, sizing, plan and spec.
"""
