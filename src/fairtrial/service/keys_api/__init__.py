"""API keys over HTTP: made, listed, changed and revoked by an ADMIN."""
