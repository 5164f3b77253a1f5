"""Kinds of attention: one class each, which answers everything that sizing, training and serving ask about it.

May import: `provider_catalog.matrices` and `provider_catalog.precision`.
"""
