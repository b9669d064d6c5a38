"""What is looked after: that the service is well, that no run is stuck, and that Prefect shows what is there."""
