"""The log of events, what is read from it, and what proves it untouched."""
