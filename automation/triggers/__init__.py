"""Which workflows an event starts."""
