"""The package for C: the sources under a name of the user's, a self-test, a README."""
