"""What proves the audit log outside the database: signed checkpoints, exports, and the script that verifies them."""
