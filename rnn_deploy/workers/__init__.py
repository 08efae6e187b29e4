"""Worker processes, which may crash or hang without harm to the process that started them.

process  start a process, send it requests, end it; or make a single call in a new process
serving  the loop inside the process, which answers requests

The users: runtimes/isolation (runtimes under verification), perf/bench/side_by_side (contenders),
tflite/quantise and tflite/micro (tools that must not share a process with TensorFlow).
"""
