"""What the server says about its routes: an OpenAPI document and a page."""
