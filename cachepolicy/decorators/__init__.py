"""What users write above their functions, and the handle they get back."""
