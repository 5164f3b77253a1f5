"""Launch configuration: the commands that start a plan, in the documented flags of each engine.

May import serving, training and the rooms below them.
"""
