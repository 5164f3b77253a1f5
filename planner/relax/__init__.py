"""What to change when nothing serves: one constraint relaxed at a time, each by planning again.

May import search and every room below it.
"""
