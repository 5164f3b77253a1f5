"""Builders and tools that test modules share: plans, documents, Terraform, a local AWS, pytest plugins."""
