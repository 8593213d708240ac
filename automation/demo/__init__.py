"""The demonstration: a small streaming service breaks and is repaired, on real processes. `automation demo` runs it."""
