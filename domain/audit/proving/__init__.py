"""The proof of the log: what is signed of it, and reading it against that."""
