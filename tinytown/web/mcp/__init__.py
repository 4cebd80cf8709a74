"""The town for language models: the Model Context Protocol, over standard input and output and over HTTP.

Only what runs a server imports these modules: the protocol's library takes a second.
"""
