"""Refresh of prices from the clouds' own interfaces.

Only this package calls them. It may import the rest of `provider_catalog`, which does not import it.
"""
