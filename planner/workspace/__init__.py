"""The files of a user's working folder: specs, demand traces and locks, and the plans of several specs.

The only room of planner that reads and writes files. May import every other room of planner.
"""
