"""Finds what to change when nothing serves: it relaxes one constraint at a time and plans again.

May import search and every room below it.
"""
