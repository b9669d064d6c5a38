"""The machine that trains: its devices, its slots, and the processes of its runs."""
