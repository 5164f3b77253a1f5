"""The commands of `llmcluster`, one module for each command or command group.

A command parses its options, calls the planner or the stacks, and prints a report. It may import every package of this
project, but only inside its function: `llmcluster --help` imports all of these modules and must stay instant.
"""
