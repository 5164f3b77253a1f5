"""The Plan and its parts: data without decisions, which every later step reads.

May import spec and provider_catalog.
"""
