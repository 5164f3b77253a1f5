"""The bill read back from Terraform resources, without the plan that they came from: how drift between the two shows.

`documents` reads what Terraform would read or shows; a module a cloud says what each resource is billed for; `bill`
prices that; `infracost` writes it as other tools read it.
"""
