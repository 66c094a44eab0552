"""Derives the polynomials of packages/wasm/src/kernels/math.ts and prints them in its notation, rounded to f32.

A minimax fit by iteratively reweighted least squares: weights grow where the error is large until all its peaks are
equally high, as Chebyshev's alternation asks. Each error is weighted by what it does to the function's relative error;
the last column is that error at its worst, in units of 2^-24 (half a unit in the last place of a number just above 1),
before anything is rounded. Needs numpy alone: python test/reference/minimax.py
"""

import math

import numpy as np

POINTS, ROUNDS = 4000, 60


def fit(f, weight, low, high, degree):
    """The c that minimise max |weight(x) (c[0] + c[1] x + … − f(x))| from low to high, and that maximum."""
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    target, scale = np.vectorize(f)(x), np.vectorize(weight)(x)
    powers = x[:, None] ** np.arange(degree + 1)
    emphasis = np.ones(POINTS)
    for _ in range(ROUNDS):
        w = scale * np.sqrt(emphasis)
        c = np.linalg.lstsq(powers * w[:, None], target * w, rcond=None)[0]
        error = np.abs(scale * (powers @ c - target))
        emphasis *= error / error.max() + 1e-3
        emphasis /= emphasis.mean()
    return c, error.max()


def show(name, formula, fitted):
    c, error = fitted
    print(f"{name}: {formula}")
    print(f"  [{', '.join(np.format_float_positional(np.float32(v), unique=True) for v in c)}]")
    print(f"  {error / 2**-24:.3f} u")


def exp_tail(r):
    """(e^r − 1 − r) / r²; its series where the subtraction would cancel."""
    return (math.expm1(r) - r) / r**2 if abs(r) > 1e-4 else 0.5 + r / 6 + r * r / 24


def erf_ratio(z):
    """erf(x) / x − 1 at z = x²."""
    return math.erf(math.sqrt(z)) / math.sqrt(z) - 1


def tanh_ratio(z):
    """(tanh(x) / x − 1) / z at z = x²; its series where the subtraction would cancel."""
    x = math.sqrt(z)
    return (math.tanh(x) / x - 1) / z if z > 1e-4 else -1 / 3 + z * 2 / 15 - z * z * 17 / 315


HALF_LN2 = math.log(2) / 2 * 1.0001

show("exp", "e^r = 1 + r + r² c(r), |r| <= ln 2 / 2", fit(exp_tail, lambda r: r * r / math.exp(r), -HALF_LN2, HALF_LN2, 4))
show("tanh", "tanh x = x + x z c(z), z = x² <= 0.36", fit(tanh_ratio, lambda z: z / (1 + z * tanh_ratio(z)), 1e-12, 0.36, 4))
show("erf near 0", "erf x = x + x c(z), z = x² <= 1", fit(erf_ratio, lambda z: 1 / (1 + erf_ratio(z)), 1e-12, 1, 6))
show(
    "erf from 1 to 4",
    "erf x = 1 - e^-c(x)",
    fit(lambda x: -math.log(math.erfc(x)), lambda x: math.erfc(x) / math.erf(x), 1, 4, 6),
)
