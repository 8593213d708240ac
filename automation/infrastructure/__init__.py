"""What actions act on: services, and the platforms that run them."""
