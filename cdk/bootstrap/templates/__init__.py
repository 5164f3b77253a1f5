"""Scripts, units and settings of a node, as Jinja templates; a package, so that a wheel carries them."""
