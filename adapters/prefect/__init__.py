"""Prefect as the service uses it: pools, deployments, run forms and flow runs."""
