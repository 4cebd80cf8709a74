"""Composition: the town, its operations, supervision, start and stop."""
