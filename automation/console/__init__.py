"""The console: pages for people, on the application that also serves the REST API. `docs/how-to/console.md`."""
