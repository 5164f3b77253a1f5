"""Readers of config.json: one module for each group of model families, and one table that names the reader of each.

May import `architecture`, `attention`, `feed_forward` and the modules below them.
"""

from provider_catalog.model_config.reader import read_config

__all__ = ["read_config"]
