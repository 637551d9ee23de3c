"""Value ↔ bytes: serialize → compress → envelope, and back. No pickle, anywhere."""
