"""What several adapters need while a training goes on."""
