"""The Training Methods page: each route parses what a person gave into an act, does it as them, and shows what came."""
