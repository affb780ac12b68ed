"""What answers the routes."""
