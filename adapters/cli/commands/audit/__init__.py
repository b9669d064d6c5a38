"""The commands of auditors, and on licences and keys."""
