"""What is read from requests and written as replies."""
