"""`llmcluster catalog`: what the catalog holds, what changed in it, whether it is sound, and how it is refreshed."""
