"""What can be bought or is owned, and where: machines, offers, places, features and storage checks.

May import reliability, topology, sizing, plan and spec.
"""
