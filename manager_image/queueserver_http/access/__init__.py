"""Policies: which roles a user has, and which group of the manager it belongs to (http-api 5.1)."""
