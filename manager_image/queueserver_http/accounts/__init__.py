"""Accounts of several users: log in, tokens, sessions and API keys (http-api 2.4 and 3)."""
