"""Constructs of an EKS cluster, and the Kubernetes objects that its users apply. May import `cdk.aws`."""
