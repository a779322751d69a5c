"""Alembic migrations of the service's tables, and the doors to run them."""
