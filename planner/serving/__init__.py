"""Serving beyond one replica's step time: queueing, autoscaling bounds, SLO against prediction, launch commands."""
