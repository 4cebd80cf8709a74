"""`tt`: thin functions over the operations."""
