"""What is measured and probed: collectors, recent metrics, health checks and availability."""
