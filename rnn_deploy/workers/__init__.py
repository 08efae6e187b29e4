"""Work in a process of its own, which may crash or hang without taking this one with it.

`process` is this side, `serving` the other.
"""
