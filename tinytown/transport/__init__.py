"""Durability: atomic verbs on Redis, mailboxes, records, the journal and the managed server."""
