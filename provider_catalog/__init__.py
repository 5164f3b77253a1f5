"""Facts: which models, GPUs, instance types, storage and prices exist, each with its source and date."""
