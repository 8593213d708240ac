"""How the engine itself is watched: Prometheus metrics, logs, and the feed of changes behind live views."""
