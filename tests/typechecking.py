"""The checker behind every annotation in tests: an int may stand where a float is written.

jaxtyping binds the arguments of a function at each call and has them checked twice, so that the
letters of one shape mean one number. That is for functions that name a shape. In the others
`checker` alone checks the same annotations, once, in a tenth of the time.
"""

import inspect
from types import FunctionType
from typing import Any, ForwardRef, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
_for_shapes = jaxtyping.jaxtyped


def _has_a_shape(annotation: Any) -> bool:
    """Whether it names a shape; a name in quotes may, for nobody knows yet what it stands for."""
    if isinstance(annotation, str | ForwardRef):
        return True
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if get_origin(annotation) is Literal:
        return False
    if isinstance(annotation, list):  # the arguments of a Callable
        return any(map(_has_a_shape, annotation))
    return any(map(_has_a_shape, get_args(annotation)))


def jaxtyped(*, typechecker: Any) -> Any:
    """What the import hook of jaxtyping puts above each function and class."""

    def decorate(item: Any) -> Any:
        plain = isinstance(item, FunctionType) and not (
            inspect.isgeneratorfunction(item)
            or inspect.iscoroutinefunction(item)
            or inspect.isasyncgenfunction(item)
        )
        if plain and not any(map(_has_a_shape, item.__annotations__.values())):
            return checker(item)
        return _for_shapes(typechecker=typechecker)(item)

    return decorate


def install() -> None:
    """Have it so in all modules that are imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
