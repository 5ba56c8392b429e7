import numpy as np
import pytest

from diffphys._quadrature import gauss_legendre


@pytest.mark.parametrize(("points", "panels"), [(1, 1), (3, 1), (3, 4), (8, 2)])
def test_a_rule_integrates_polynomials_of_its_degree_exactly(points, panels):
    at, weights = gauss_legendre(-0.5, 2.0, points=points, panels=panels)
    for degree in range(2 * points):
        exact = (2.0 ** (degree + 1) - (-0.5) ** (degree + 1)) / (degree + 1)
        np.testing.assert_allclose(weights @ at**degree, exact, rtol=1e-13, atol=1e-13)


def test_panels_shrink_the_error_by_the_order_of_the_rule():
    def error(panels):
        at, weights = gauss_legendre(0.0, 1.0, points=2, panels=panels)
        return abs(weights @ np.exp(at) - np.expm1(1.0))

    np.testing.assert_allclose(np.log2(error(4) / error(8)), 4.0, atol=0.1)
