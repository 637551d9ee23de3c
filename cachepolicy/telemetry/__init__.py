"""What the world sees: spans, metrics and recorded outcomes. Only OpenTelemetry's API is needed."""
