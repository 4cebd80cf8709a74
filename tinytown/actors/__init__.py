"""Behaviour: how a message becomes an outcome."""
