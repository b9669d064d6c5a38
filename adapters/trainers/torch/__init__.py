"""The trainers on torch: one readable file each."""
