"""How each kind of coding CLI is spoken to."""
