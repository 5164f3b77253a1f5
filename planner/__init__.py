"""Planning: pure functions that turn a ClusterSpec and a Catalog into a Plan.

Nothing here reads the clock or calls a cloud SDK. Only `planner.workspace` reads and writes files.
"""
