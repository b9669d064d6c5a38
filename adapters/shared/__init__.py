"""Small modules without state that at least two packages need. They import the domain alone."""
