"""The stacks of a cluster, composed from constructs of `cdk` for a Plan, and the CDKTF app that cdktf.json starts.

May import cdk, planner and provider_catalog.
"""

from cdk.providers import use_bundled_node

# An import of cdktf starts Node, so that Node must be chosen before any module of this package is imported.
use_bundled_node()
