"""The two fits that the predictor needs, without a library whose results depend on the machine.

Sparse products of SciPy add in one order everywhere; the matrix products, decompositions and
exponentials of NumPy do not. So the former are used, and the rest is written out.
"""

import math

import numpy as np


def ridge(x, y, alpha, weight=None, steps=60):
    """Coefficients (columns x targets) and constants of a ridge regression with a free constant.

    x: CSR matrix, y: rows x targets, weight: of each row. By conjugate gradients on the dual.
    """
    w = np.ones(x.shape[0]) if weight is None else weight
    total = w.sum()
    xt = x.T.tocsr()
    mean_x = (xt @ w[:, None])[:, 0] / total
    mean_y = (w[:, None] * y).sum(0) / total
    root = np.sqrt(w)[:, None]
    r = root * (y - mean_y)
    size = (r * r).sum(0)
    a, p, rs = np.zeros_like(r), r.copy(), size

    def column(v):  # centred columns times v
        v = root * v
        return xt @ v - mean_x[:, None] * v.sum(0)

    for _ in range(steps):
        u = column(p)
        q = root * (x @ u - (mean_x[:, None] * u).sum(0)) + alpha * p
        step = rs / np.maximum((p * q).sum(0), 1e-30)
        a, r = a + step * p, r - step * q
        now = (r * r).sum(0)
        if (now < 1e-6 * size).all():
            break
        p, rs = r + (now / np.maximum(rs, 1e-30)) * p, now
    coefficients = column(a)
    return coefficients, mean_y - (mean_x[:, None] * coefficients).sum(0)


def directions(y, rank):
    """The directions (targets x rank) in which rows of y differ most, by Jacobi's rotations."""
    centred = y - y.mean(0)
    n = y.shape[1]
    m = [[float((centred[:, i] * centred[:, j]).sum()) for j in range(n)] for i in range(n)]
    v = [[float(i == j) for j in range(n)] for i in range(n)]
    for _ in range(60):
        if sum(m[i][j] ** 2 for i in range(n) for j in range(i)) < 1e-18 * sum(m[i][i] ** 2 for i in range(n)):
            break
        for i in range(n):
            for j in range(i + 1, n):
                if m[i][j] == 0.0:
                    continue
                theta = (m[j][j] - m[i][i]) / (2 * m[i][j])
                t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1))
                c = 1 / math.sqrt(t * t + 1)
                s = t * c
                for k in range(n):
                    m[k][i], m[k][j] = c * m[k][i] - s * m[k][j], s * m[k][i] + c * m[k][j]
                for k in range(n):
                    m[i][k], m[j][k] = c * m[i][k] - s * m[j][k], s * m[i][k] + c * m[j][k]
                    v[k][i], v[k][j] = c * v[k][i] - s * v[k][j], s * v[k][i] + c * v[k][j]
    order = sorted(range(n), key=lambda i: (-m[i][i], i))[:rank]
    out = np.zeros((n, len(order)))
    for column, i in enumerate(order):
        vector = [v[k][i] for k in range(n)]
        sign = math.copysign(1.0, max(vector, key=abs))
        out[:, column] = [sign * x for x in vector]
    return out


def sigmoid(z):
    return np.array([1 / (1 + math.exp(-min(max(x, -40.0), 40.0))) for x in z.tolist()])


def solve(a, b):
    """Gauss with the largest pivot."""
    n = len(b)
    a = [row[:] + [b[i]] for i, row in enumerate(a)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(a[r][i]))
        a[i], a[pivot] = a[pivot], a[i]
        for r in range(i + 1, n):
            f = a[r][i] / a[i][i]
            for c in range(i, n + 1):
                a[r][c] -= f * a[i][c]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (a[i][n] - sum(a[i][c] * x[c] for c in range(i + 1, n))) / a[i][i]
    return x


def logistic(z, y, penalty):
    """Constant and slopes of a logistic regression, by Newton; the constant is not penalised."""
    n, d = z.shape
    a = np.hstack([np.ones((n, 1)), z])
    w = [0.0] * (d + 1)
    for _ in range(12):
        m = sigmoid((a * np.array(w)).sum(1))
        slope = [float((a[:, i] * (m - y)).sum()) + (penalty * w[i] if i else 0.0) for i in range(d + 1)]
        v = m * (1 - m)
        bend = [
            [float((a[:, i] * a[:, j] * v).sum()) + (penalty if i == j and i else 1e-9 * (i == j)) for j in range(d + 1)]
            for i in range(d + 1)
        ]
        step = solve(bend, slope)
        w = [x - s for x, s in zip(w, step)]
        if max(abs(s) for s in step) < 1e-9:
            break
    return w[0], w[1:]


def constant(z, slopes, mean):
    """The constant at which slopes that are given meet a mean."""
    part = (z * np.array(slopes)).sum(1)
    b = math.log(mean / (1 - mean))
    for _ in range(40):
        m = sigmoid(b + part)
        step = float((m.sum() - mean * len(m)) / max((m * (1 - m)).sum(), 1e-9))
        b -= step
        if abs(step) < 1e-9:
            break
    return b
