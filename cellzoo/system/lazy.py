"""Properties that are computed once, on first access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class lazy_property(Generic[Value]):  # noqa: N801 - stands where functools.cached_property does
    """Like functools.cached_property, but without its lock.

    Up to Python 3.11, `cached_property` has one lock for all instances. A process that is forked while another
    thread holds it would wait for it forever. Here two threads may both compute a value; the results must be
    equal.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__
        self._name = compute.__name__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> lazy_property[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Value: ...

    def __get__(self, instance: object | None, owner: type[Any]) -> lazy_property[Value] | Value:
        """Compute the value and store it in the instance's dictionary, where later accesses find it."""
        if instance is None:
            return self
        value = self._compute(instance)
        found: Value = instance.__dict__.setdefault(self._name, value)
        return found
