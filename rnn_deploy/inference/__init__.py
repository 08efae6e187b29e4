"""Use a bundle: call it, stream through it.

model         Model: a bundle on a runtime, predict and stream
stream        Stream: the one object that carries state from call to call
stream_batch  StreamBatch: many streams in one call
plain         plain arrays for one input or output
"""
