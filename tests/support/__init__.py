"""Shared machinery of the tests: Terraform, a local AWS, and the rule that nothing is skipped in CI."""
