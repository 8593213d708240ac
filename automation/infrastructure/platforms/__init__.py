"""Platforms, one a file: how replicas of a service are started, counted, restarted and stopped."""
