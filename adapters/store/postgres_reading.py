"""Reading PostgreSQL again where that is all it takes."""

from eventsourcing.persistence import InterfaceError, OperationalError
from eventsourcing.utils import retry

ask_again = retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
"""For what only reads: done again where the server, or a connection of the pool, went away meanwhile."""
