"""How much memory, compute and traffic a model needs under a parallel layout."""
