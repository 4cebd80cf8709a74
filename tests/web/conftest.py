"""What the tests of townhall share: a town in a project of its own."""

from runtime_parts import made, project, user

__all__ = ("made", "project", "user")
