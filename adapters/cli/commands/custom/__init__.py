"""The commands on methods' own code."""
