"""Small modules without state that several adapters need. They import the domain alone."""
