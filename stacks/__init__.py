"""The stacks of a cluster, composed from constructs for a Plan, and the CDKTF app that cdktf.json starts."""

from cdk.providers import use_bundled_node

# Every module of this package starts Node with its import of cdktf.
use_bundled_node()
