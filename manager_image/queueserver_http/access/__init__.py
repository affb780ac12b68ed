"""Who sends a request and what it may do (http-api 3 to 5)."""
