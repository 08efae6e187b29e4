"""Starter projects: a complete small program for one model, in the language of its destination.

program   the entry point that a program runs, its tensors and their names in source code
vectors   the golden vectors with which a program checks itself
names     convert any names and texts of a bundle to source code
python    NumPy and ONNX Runtime
cpp       C++ and ONNX Runtime
phone     the common part of the programs for phones
android   Kotlin and LiteRT
ios       Swift and LiteRT
"""
