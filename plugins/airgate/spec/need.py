"""What a decision waits for when it cannot be made from the file and the request alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from airgate.spec.keyset import KeySet
from airgate.spec.refused import Refused

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class NeedKeys(Generic[T]):
    """A token cannot be judged before its issuer's keys are there.

    `algorithm` and `key_id` say which key it will be, so that whoever keeps sets can tell whether one is out of date.
    `resume` goes on with the set, or with why there is none.
    """

    uri: str
    algorithm: str
    key_id: str | None
    resume: Callable[[KeySet | Refused], T]

    def then(self, go_on: Callable[[T], U]) -> "NeedKeys[U]":
        """The same need, whose result goes through a further step."""
        return NeedKeys(self.uri, self.algorithm, self.key_id, lambda keys: go_on(self.resume(keys)))
