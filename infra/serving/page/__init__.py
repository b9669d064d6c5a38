"""The Training Methods page: where it is served, and as what."""
