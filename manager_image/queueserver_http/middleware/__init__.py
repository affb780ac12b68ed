"""What surrounds every request: limits, headers, figures, the access log."""
