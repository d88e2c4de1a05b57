"""The accuracy half of the gate, run on real engines."""
