"""Trainings: from the request to what came of it."""
