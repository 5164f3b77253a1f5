"""The Plan and its parts: data without logic, which cost, stacks and reports read.

May import spec and provider_catalog.
"""
