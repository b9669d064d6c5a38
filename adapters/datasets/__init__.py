"""Datasets: rows that a trainer can take, from samples, files, folders and hubs, checked before they are used."""

from adapters.datasets.datasets import Datasets

__all__ = ["Datasets"]
