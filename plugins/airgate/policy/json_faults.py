"""What reading JSON raises where there is none."""

from __future__ import annotations

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)
"""Of msgspec: a text of another form, one that is not UTF-8, and one that is nested too deep."""
