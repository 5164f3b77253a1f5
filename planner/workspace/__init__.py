"""Files in the working folder of the user: specs, demand files and locks, and the plans of several specs.

This is the only room of planner that reads and writes files. May import every other room of planner.
"""
