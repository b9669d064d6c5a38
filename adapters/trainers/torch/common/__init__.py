"""What trainers on torch share."""
