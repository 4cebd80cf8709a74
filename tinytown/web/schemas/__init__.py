"""From the registry of operations to JSON: requests read and checked, results written, and the schemas of both."""
