"""Numbers from features: in how many directions they vary, and how alike those of two models are."""

import torch
from torch import Tensor

from .samples import PerSample, where_defined


class Rows:
    """Feature vectors that come in batches; of n vectors in d dimensions, min(n, d) * d are kept.

    As long as there are no more than d, they are kept themselves; then their mean and scatter take
    their place, joined batch by batch without cancellation (Chan, Golub & LeVeque 1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self._squares = 0.0
        self._parts: list[Tensor] = []
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Take in rows (b, d)."""
        if not len(rows):  # a mean of nothing
            return
        rows = rows.double()
        self.count += len(rows)
        self._squares += rows.square().sum().item()
        self._parts.append(rows)
        if self._scatter is not None or self.count > rows.shape[1]:
            self._fold()

    def _fold(self) -> None:
        rows = torch.cat(self._parts)
        self._parts.clear()
        mean = rows.mean(0)
        scatter = (rows - mean).T @ (rows - mean)
        if self._mean is not None and self._scatter is not None:
            step, share = mean - self._mean, len(rows) / self.count
            scatter += self._scatter + torch.outer(step, step) * len(rows) * (1 - share)
            mean = self._mean + step * share
        self._mean, self._scatter = mean, scatter

    def eigenvalues(self, centred: bool = True) -> Tensor:
        """Return those of the covariance, (min(n, d),) float64; not centred: of the mean of x xᵀ.

        Non-negative; what is rounding is 0.
        """
        if self.count == 0:
            return torch.zeros(0, dtype=torch.float64)
        if self._mean is None or self._scatter is None:
            rows = torch.cat(self._parts)
            rows = rows - rows.mean(0) if centred else rows
            matrix = rows @ rows.T
        else:
            offset = torch.outer(self._mean, self._mean) * self.count
            matrix = self._scatter if centred else self._scatter + offset
        values = torch.linalg.eigvalsh(matrix)
        rounding = torch.finfo(values.dtype).eps * (self.count + len(matrix))
        least = max(rounding * values[-1].item(), rounding**2 * self._squares)
        return torch.where(values > least, values, 0.0) / self.count


def effective_rank(eigenvalues: Tensor) -> float | None:
    """Return exp(-Σ q log q), q = σᵢ / Σ σ, σ = √λ the singular values of the centred features.

    eigenvalues (r,) of the covariance, non-negative. From 1 to r, at most min(n - 1, d); None where
    the features do not vary. Roy & Vetterli 2007.
    """
    sigma = eigenvalues.sqrt()
    if not sigma.any():
        return None
    return torch.special.entr(sigma / sigma.sum()).sum().exp().item()


def participation_ratio(eigenvalues: Tensor) -> float | None:
    """Return (Σλ)² / Σλ² of the covariance's eigenvalues (r,): from 1 to r.

    None where the features do not vary. Gao et al. 2017, bioRxiv 214262.
    """
    if not eigenvalues.any():
        return None
    q = eigenvalues / eigenvalues.sum()
    return 1 / q.square().sum().item()


def unit_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of (B, d) over their norms in float64, and which (B,) bool have a norm."""
    rows = features.double()
    norm = rows.norm(dim=1)
    return rows / torch.where(norm > 0, norm, 1)[:, None], norm > 0


def vendi_score(eigenvalues: Tensor) -> float | None:
    """Return exp(-Σ λ log λ), λ the eigenvalues of K/n, K the cosines between all samples.

    The effective number of different samples, from 1 (all alike) to n. eigenvalues (r,): those of
    K/n that are not 0, which are also those of the mean of u uᵀ over the unit rows u; None for no
    sample. Friedman & Dieng 2023, arXiv 2210.02410.
    """
    if not eigenvalues.any():
        return None
    return torch.special.entr(eigenvalues / eigenvalues.sum()).sum().exp().item()


def linear_cka(first: Tensor, second: Tensor) -> float | None:
    """Return ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features X, Y (Frobenius): in [0, 1].

    first (n, d), second (n, e): the same n samples. The same for features rotated, scaled or moved.
    1 for the same features; chance is above 0 and grows with d / n, so compare only what has the
    same n and d. None where one of them does not vary. Kornblith et al. 2019, arXiv 1905.00414.
    """
    x, y = (_centred(features) for features in (first, second))
    if x is None or y is None:
        return None
    if len(x) < max(x.shape[1], y.shape[1]):
        # The same numbers from the n x n kernels: ‖YᵀX‖² = Σ (XXᵀ ∘ YYᵀ), ‖XᵀX‖ = ‖XXᵀ‖.
        k, m = x @ x.T, y @ y.T
        likeness = (k * m).sum() / (k.norm() * m.norm())
    else:
        likeness = (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    return min(max(likeness.item(), 0.0), 1.0)


def _centred(features: Tensor) -> Tensor | None:
    """Return centred features of unit Frobenius norm, or None where they do not vary."""
    rows = features.double()
    centred = rows - rows.mean(0)
    norm = centred.norm()
    rounding = torch.finfo(rows.dtype).eps * rows.norm() * 10
    return centred / norm if norm > rounding else None


def critical_set_fraction(features: Tensor) -> PerSample:
    """Return |∪_c argmax_n f_c(x_n)| / N, the share of points that decide a maximum over points.

    features (B, F, N): what a PointNet pools. Of equal points the first one counts, and a feature
    that is the same at all points (such as one that no point turns on) is decided by none.
    Undefined where that is so of all features. Qi et al. 2017, arXiv 1612.00593, critical point set.
    """
    top = features.max(2)
    varies = top.values > features.amin(2)
    critical = torch.zeros(len(features), features.shape[2], device=features.device)
    critical.scatter_add_(1, top.indices, varies.to(critical.dtype))
    return where_defined((critical > 0).double().mean(1), varies.any(1))
