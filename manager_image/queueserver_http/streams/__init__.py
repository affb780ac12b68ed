"""Console output, status and information for those who follow them (http-api 2.3)."""
