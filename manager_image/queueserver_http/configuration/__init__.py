"""Settings: what they are, where they come from, and the classes that they name (http-api 6)."""
