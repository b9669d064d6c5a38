"""The commands, a subject a folder."""
