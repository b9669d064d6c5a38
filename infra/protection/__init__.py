"""What of an installation is closed to others, and what its logs do not tell."""
