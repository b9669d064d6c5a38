"""The commands on the catalogue."""
