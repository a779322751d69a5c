"""The experiment spec: its parts, its loader, and the forms translated into it."""
