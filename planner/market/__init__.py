"""The market: machines and their offers, the places where nodes stand, feature and storage checks.

May import reliability, topology, sizing, plan and spec.
"""
