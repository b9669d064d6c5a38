"""The event log and the read models made from it, in SQLite or PostgreSQL: one package, for one transaction."""
