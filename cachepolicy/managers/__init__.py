"""Ready-made things, built of the same parts as the decorators."""
