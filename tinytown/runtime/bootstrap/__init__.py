"""A Redis server for this user, in `~/.tt/bin`: copied, built from source, or built by a coding CLI."""
