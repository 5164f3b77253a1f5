"""Machinery of the test suite: Terraform, a local AWS, and the rule that nothing is skipped in CI."""
