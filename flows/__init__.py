"""What runs where: Prefect flows that read like sentences. No rules live here."""
