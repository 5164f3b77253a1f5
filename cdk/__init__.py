"""CDKTF constructs, one folder for each cloud. They know resources and their rules, but neither specs nor plans."""
