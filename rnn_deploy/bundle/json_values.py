"""Values for JSON, which has no NaN and no infinity."""

import math


def finite(value: object) -> object:
    """Return the same value with NaN and infinities as the strings "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
