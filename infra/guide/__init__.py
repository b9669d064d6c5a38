"""The documentation for users: one page a subject. What stands in the code is generated from it."""
