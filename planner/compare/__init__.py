"""Comparisons: clouds with on-premises servers, purchase mixes, two plans, plans with the hardware guide.

May import every room of planner below it.
"""
