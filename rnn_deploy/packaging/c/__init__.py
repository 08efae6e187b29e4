"""The package for C: the sources with the user's prefix, a self-test, a README."""
