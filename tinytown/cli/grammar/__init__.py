"""What may be typed, in the words of cyclopts: signatures that make an `Invocation`, and the help they give.

Nothing here does anything. These modules do not postpone their annotations: cyclopts reads them.
"""
