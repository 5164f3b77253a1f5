"""Launch configuration: the commands that start what was planned, in each engine's own documented flags."""
