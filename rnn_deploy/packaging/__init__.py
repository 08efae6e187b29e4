"""Turn a bundle into files for one destination: C files, a web page, a program in another language.

base       `Packager`: the description of a packager, and what it returns
registry   packagers by name: the built-in ones, and Python entry points of other packages
writing    the files in a folder, or one file, whole or not at all
proof      the entry point and the error budgets with which a package checks itself
c          C files with a self-test and a README
triton     a model repository for NVIDIA Triton, with a check of the running server
starter    small programs in Python, C++, Kotlin and Swift

To add one, write a module with a `PACKAGER` and add it to `registry.BUILT_IN`.
"""
