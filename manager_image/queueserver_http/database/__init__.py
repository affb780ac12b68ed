"""The database of accounts: principals, identities, API keys and sessions (http-api 2.4)."""
