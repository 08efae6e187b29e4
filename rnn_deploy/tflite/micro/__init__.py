"""Files for microcontrollers.

format  the description of the format
files   write static files, one per entry point, checked in TFLite-Micro's interpreter
worker  that interpreter, in a process of its own
source  C arrays and the header
"""
