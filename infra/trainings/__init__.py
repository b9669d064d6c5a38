"""Preparing a training, carrying it, and what came of it."""
