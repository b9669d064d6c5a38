"""What people and programs can do here, each act once, on ports: every way in parses into an act and calls `do`."""
