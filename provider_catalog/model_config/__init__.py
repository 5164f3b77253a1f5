"""Readers of config.json: one module for each group of model families, and one table that names the reader of each.

This package imports only `architecture` and the modules below it.
"""

from provider_catalog.model_config.reader import read_config

__all__ = ["read_config"]
