"""The command line: from a model and a workload to reviewed Terraform and a bill."""
