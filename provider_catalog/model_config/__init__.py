"""Readers that turn the config.json of any decoder into a ModelArchitecture: one module and one table row per family.

May import `provider_catalog`, except `provider_catalog.live`.
"""

from provider_catalog.model_config.reader import read_config

__all__ = ["read_config"]
