"""How fast it is, measured on this machine: `python -m benchmarks [name ...]`. See docs/benchmarks.md."""
