"""Missions: from issues to a graph of work, and on to what is to be done next.

What decides does no I/O: references, dependencies, the compiler and the planner are plain functions. Only the
client speaks to GitHub.
"""
