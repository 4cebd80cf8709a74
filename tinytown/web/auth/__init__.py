"""Who asks: the ways to show it, and how each is checked."""
