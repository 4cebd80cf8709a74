"""Tinytown coordinates AI coding agents over Redis."""
