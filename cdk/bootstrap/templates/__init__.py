"""Jinja templates of the scripts, units and settings of a node. This is a package so that wheels include them."""
