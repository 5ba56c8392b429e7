"""The cases, by name; each is a module with `measure(quick, repeats)`."""

CASES = {
    "speciation-identity": "Figure 2 by the posterior identity, d = 256 to 16384: seconds a dimension, error, z-scores",
    "clone-steps": "elements stepped per second by clones, beside a plain scan, diffrax, PyTorch, bare normals",
    "curie-weiss": "the score of a million coupled spins, beside the plain integral over their decoupling field",
    "excess-entropy": "Figure 3 at n = 20000: entropy of the weights against the raw log-density, at equal error",
    "curves": "how time grows with the dimension, the data and the clones",
    "empirical-score": "the score of 60000 data: time and memory beside the two bare matrix products",
    "figure-2": "Figure 2 simulated: 10000 pairs of clones in four dimensions, beside the authors' algorithm",
    "increments": "steps with one-bit and eight-bit noise: their speed, and the bias of phi at the speciation time",
    "leading-modes": "the leading eigenpair of the Jacobian of 6000 data in 3072 dimensions, beside the whole Jacobian",
    "regimes": "`diffphys regimes` in a cold and in a warm process; MNIST 1 and 8 by the identities",
    "sampler-steps": "what a step adds to its evaluations, of 2 MFLOP each, and its noise; every kind of sampler",
    "scaling": "clones on 1, 2, 4 and 8 devices of one machine: what sharing them out costs, and that none waits",
    "unet-training": "a training step of a U-Net beside its own convolutions and matrix products; images a second",
    "variance": "phi by mirrored noise, classes in turn, clones and their mirrors: variance at equal work",
    "start": "`diffphys --help` and `import diffphys`, each in a new process",
}
