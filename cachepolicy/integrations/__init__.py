"""What fits the library to others: metrics for Prometheus."""
