"""Launch configuration: the commands that start a plan, in the documented flags of each engine."""
