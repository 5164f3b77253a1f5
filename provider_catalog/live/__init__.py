"""Refresh of prices from the clouds' own interfaces. Nothing else in the product talks to them."""
