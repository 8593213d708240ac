"""The pages, one subject a file; each file's `router` is picked up by its place."""
