"""The search over machines, node counts and layouts, and the assembly of the Plan from its winner.

May import launch, serving, training and every room below them.
"""
