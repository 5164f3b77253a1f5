"""Comparisons of finished plans: clouds and own servers, ways to buy, two plans, the hardware guide.

May import every room of planner below it.
"""
