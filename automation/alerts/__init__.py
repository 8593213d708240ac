"""Alerts: conditions over metrics with a life, and the alerts of other systems."""
