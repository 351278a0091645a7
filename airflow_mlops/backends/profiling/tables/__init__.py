"""Profiles of database tables, computed by the database."""
