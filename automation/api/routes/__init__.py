"""One module a resource: each has a `router`, and is picked up by its place."""
