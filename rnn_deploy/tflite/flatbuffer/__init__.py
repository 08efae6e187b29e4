"""Edits of a TFLite file after the converter.

editor   add tensors, buffers and operators to a model in object form
merge    several models as the signatures of one file
fuse     replace markers by fused operators
alias    let a loop's outputs share one buffer, so that nothing is copied
packing  store equal buffers once
"""
