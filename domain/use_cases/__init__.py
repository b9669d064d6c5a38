"""What people and programs can do here."""
