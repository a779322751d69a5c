"""The audit log over HTTP, for an ADMIN."""
