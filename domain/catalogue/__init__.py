"""Training methods: what they are made of, and the rules of the catalogue."""
