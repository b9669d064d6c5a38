"""The Prefect server and its workers: started, watched and stopped."""
