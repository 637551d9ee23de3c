"""What is special about calls of language models."""
