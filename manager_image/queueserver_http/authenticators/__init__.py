"""Ways to authenticate users (http-api 5.2)."""
