"""What surrounds every attempt of every action: one concern a file. The order is in `executor.py`."""
