"""The formats of input files: one module each; `registry` chooses one by the file's ending."""
