"""`townhall`: the operations over HTTP."""
