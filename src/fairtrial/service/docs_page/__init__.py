"""The API's own documentation: a page that asks no other host, and the OpenAPI document behind it."""
