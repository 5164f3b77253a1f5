"""How much memory, compute and traffic a model needs under a parallel layout.

May import plan and spec. `llmcluster size` uses it without pydantic.
"""
