"""Facts: which models, GPUs, instance types, storage and prices exist, each with its source and date.

The room decides nothing. It may import no other package of this project.
"""
