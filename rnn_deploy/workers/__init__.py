"""Processes of our own that may crash or hang without harm to the process that started them.

process  start one, ask it, end it; or make a single call in one
serving  the loop inside it, which answers

The only users: runtimes/isolation (runtimes under verification), perf/bench/process (contenders),
tflite/quantise and tflite/micro (tools that may not share a process with TensorFlow).
"""
