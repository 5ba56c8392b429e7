"""Quality against network evaluations: every sampler of the package and of peers, on targets with exact scores.

All start from the same noise, sigma = 80 in units of the data, go down the same grids of noise levels to 0.002, and end
with one denoising, which is counted as an evaluation. They call the same denoiser: only the sampler differs.

Peers are optional, `pip install -e '.[peers]'`. One that is missing is a row that says so.
"""

BUDGETS = (5, 10, 20, 50, 100)
"""How many evaluations a sampler may use, the final denoising included."""
