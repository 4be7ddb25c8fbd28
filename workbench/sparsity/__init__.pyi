from .concentration import (
    coordinates_for as coordinates_for,
    gini as gini,
    hoyer as hoyer,
    top_mass as top_mass,
)
