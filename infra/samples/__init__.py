"""The sample data and small base model that the project ships, with the seeded scripts that made them."""
