"""Everything that renders a plan, a bill or a comparison as text, JSON or Markdown.

A report gets finished data and decides nothing. It may import `planner`, `stacks` and `provider_catalog`, and no module
of `llmcluster.commands`.
"""
