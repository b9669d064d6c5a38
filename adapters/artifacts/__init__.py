"""What runs leave: trained models in the artifact store, and checkpoints of those under way."""
