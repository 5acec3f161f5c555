"""Values that objects compute once, when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class lazy_property(Generic[Value]):  # noqa: N801 - stands where functools.cached_property does
    """What functools.cached_property does, without its lock.

    Up to Python 3.11 that has one lock for all objects of a class, which a child inherits closed when it is
    forked while another thread computes a value. Here two threads may compute one, which must then be equal.
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
        """Give the value; it then stands in the object's dictionary, where it is found first."""
        if instance is None:
            return self
        value = self._compute(instance)
        found: Value = instance.__dict__.setdefault(self._name, value)
        return found
