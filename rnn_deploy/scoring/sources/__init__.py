"""The formats of input files: one module each, and `registry`, which chooses by the ending."""
