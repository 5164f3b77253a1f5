"""Topology of a plan: the process groups of a layout, and the links over which each group communicates.

May import plan and spec.
"""
