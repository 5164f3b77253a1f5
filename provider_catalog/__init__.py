"""The catalog of facts: models, GPUs, instance types, storage, software and prices, each with its source and date.

This package decides nothing and imports no other package of this repository.
"""
