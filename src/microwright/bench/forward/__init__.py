"""Forward baselines of the VAE-Regression paper: from structure to stiffness, one file a method."""
