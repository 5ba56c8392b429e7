"""`python -m benchmarks learned`: networks trained on real images, and their regimes beside theory."""
