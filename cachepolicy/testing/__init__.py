"""What tests of code that uses cachepolicy need; import each part from its own module."""
