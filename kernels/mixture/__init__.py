"""Samples of Gaussian mixtures with full precision matrices: what sampling from MDN takes."""
