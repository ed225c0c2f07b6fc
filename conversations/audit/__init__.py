"""Who did what and when: an append-only journal in the database, chained by hash, pseudonymous, without content."""
