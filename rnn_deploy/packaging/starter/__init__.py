"""Starter projects: a complete small program for one model, in the language of its destination.

program   the entry point that a program runs, its tensors and their names in source code
vectors   the golden vectors by which a program checks itself
names     names and texts in source code, whatever a bundle calls its tensors
python    NumPy and ONNX Runtime
cpp       C++ and ONNX Runtime
phone     what the programs for phones share
android   Kotlin and LiteRT
ios       Swift and LiteRT
"""
