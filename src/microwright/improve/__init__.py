"""Active learning: few calls of an expensive simulator, each kept, each chosen for what it teaches."""
