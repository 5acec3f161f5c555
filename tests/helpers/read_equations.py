"""Work out equations as `cellzoo.draw.equations` writes them, with numpy, knowing nothing of the graph."""

from __future__ import annotations

import ast
import re

import numpy as np

_FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 0.5 * (1 + np.tanh(0.5 * a)),
    "relu": lambda a: np.maximum(a, 0.0),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "selu": lambda a: 1.0507009873554805 * np.where(a > 0, a, 1.6732632423543772 * np.expm1(np.minimum(a, 0))),
    "min": np.minimum,
    "max": np.maximum,
    "exp": np.exp,
    "softplus": lambda a: np.logaddexp(a, 0.0),
    "sqrt": np.sqrt,
    "hard_sigmoid": lambda a: np.clip(a / 6 + 0.5, 0.0, 1.0),
    # A number stands for a vector of it.
    "average": lambda a: np.broadcast_to(np.mean(a, axis=0), np.shape(a)) if np.ndim(a) else a,
    "mean": lambda *values: sum(values) / len(values),
}


def work_out(text: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all values after the last line; `values` holds x, the states and the symbols of the weights.

    Vectors are columns: (units, B).
    """
    known = dict(values)
    for line in text.splitlines():
        left, right = line.split(" = ")
        # A symbol, one space and an operand is a product with a matrix.
        marked = re.sub(r"(\w+) (?=[\w(])", r"\1 @ ", right).replace("'", "__next")
        known[left] = _value(ast.parse(marked, mode="eval").body, known)
    return known


def _value(node: ast.expr, known):
    match node:
        case ast.Constant(value=int(number) | float(number)):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, known)
        case ast.Name(id=name):
            return known[name.replace("__next", "'")]
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*(_value(argument, known) for argument in arguments))
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = _value(left, known), _value(right, known)
            match operator:
                case ast.MatMult():
                    # A constant stands for a vector as long as the matrix is wide.
                    columns = b.shape[1] if np.ndim(b) == 2 else 1
                    return a @ np.broadcast_to(b, (a.shape[1], columns))
                case ast.Mult():
                    return a * b
                case ast.Div():
                    return a / b
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
    raise AssertionError(ast.dump(node))
