"""The commands on trainings and what came of them."""
