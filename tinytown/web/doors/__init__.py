"""The doors: what every request passes before any handler sees it."""
