"""Files for microcontrollers.

format     the description of the format
budget     the memory of the device, an option
files      write static files, one per entry point, checked in TFLite-Micro's interpreter
forms      which form the whole sequence gets: the smallest arena that fits
operators  operators that TFLite-Micro lacks, replaced
failures   the operator and layer at which its interpreter failed
worker     that interpreter, in a process of its own
source     C arrays and the header
example    a program that runs the model
"""
