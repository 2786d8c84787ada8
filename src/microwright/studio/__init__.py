"""The page to design on, ``microwright studio``: it calls what the Python API offers and holds no physics itself."""
