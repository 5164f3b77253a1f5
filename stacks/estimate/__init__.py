"""The bill computed from Terraform resources without their plan, so that drift between plan and resources shows.

`documents` reads the documents and the output of `terraform show`. One module per cloud says what each resource is
billed for. `bill` prices that. `infracost` writes it in the format of Infracost.

May import `provider_catalog` and the bill of `planner`, but no construct of `cdk`.
"""
