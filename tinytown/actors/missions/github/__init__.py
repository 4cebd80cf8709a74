"""GitHub, as missions speak to it. Only what is here knows a token."""
