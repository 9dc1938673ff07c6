"""Guards that turn a silent mistake into a sentence: which argument, which value, which range."""

import math

import torch
from torch import Tensor


def check_fraction(name: str, value: float) -> None:
    """Require a number in [0, 1], as γ, λ and probabilities are."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], but is {value}")


def check_positive(name: str, value: float) -> None:
    """Require a finite number above 0."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, but is {value}")


def check_not_negative(name: str, value: float) -> None:
    """Require a finite number of at least 0."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be at least 0, but is {value}")


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Require one of a few named options."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {value!r}")


def check_bool(**tensors: Tensor) -> None:
    """Require boolean tensors: an integer mask would be inverted bit by bit (~1 is −2) instead of logically."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.bool:
            raise ValueError(f"{name} must be a bool tensor, but is {tensor.dtype}; write {name}.bool()")


def check_real(**tensors: Tensor) -> None:
    """Require floating-point tensors with something in them: an integer result would be cut off without a word."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must hold real numbers, but is {tensor.dtype}; write {name}.float()")
        if tensor.numel() == 0:
            raise ValueError(f"{name} is empty: it is {tuple(tensor.shape)}")


def check_same_shape(**tensors: Tensor) -> None:
    """Require equal shapes: (N,) against (N, 1) would broadcast to (N, N) without a word."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes must be equal, but are {listed}")
