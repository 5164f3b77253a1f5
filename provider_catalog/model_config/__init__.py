"""From the config.json of any decoder to a ModelArchitecture: one module a family, one table of families."""

from provider_catalog.model_config.reader import read_config

__all__ = ["read_config"]
