"""The same work with no server around it; each module is a program of its own that prints JSON."""
