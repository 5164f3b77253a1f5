"""`llmcluster size`: what a model holds, in the shape of the contract and as text."""
