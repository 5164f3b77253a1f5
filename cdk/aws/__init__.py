"""AWS constructs: network, encryption key, shared file system, checkpoint bucket, node identity, capacity."""

from cdk.providers import register

register("cdktf_cdktf_provider_aws")
