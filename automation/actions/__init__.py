"""What an action does to the world: the executor, its middleware, and the built-in operations."""
