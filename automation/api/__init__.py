"""The REST interface: FastAPI over the engine's parts. `docs/reference/rest.md` is its reference."""
