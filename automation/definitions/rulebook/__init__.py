"""Rulebooks of ansible-rulebook, as definitions of ours, and a report of what has no equivalent."""
