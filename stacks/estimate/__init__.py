"""The bill of Terraform resources, estimated without the plan. Its difference from the plan's bill shows drift.

`documents` reads synthesized documents and the output of `terraform show -json`. A module for each cloud (`aws`,
`azurerm`) tells what a resource is billed for, `bill` prices that, and `infracost` writes the result for other tools.

May import planner and provider_catalog, but neither cdktf nor cdk.
"""
