"""The event log: pydantic events as JSON bytes in SQLite or PostgreSQL, appended and never changed."""
