"""Use a bundle: call it, or stream through it.

model         Model: a bundle on a runtime; predict and stream
stream        Stream: the only object that carries state from call to call
stream_batch  StreamBatch: many streams in one call
plain         a plain array for a single input or output
"""
