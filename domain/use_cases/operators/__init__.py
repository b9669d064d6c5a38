"""The acts of operators: make a machine serve, see whether it is well, pools, and the log itself."""
