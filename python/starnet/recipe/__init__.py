"""Recipes: what becomes of the pixels before a model sees them."""

from starnet.recipe.parameters import NoiseRecipe, SeedRecipe
from starnet.recipe.recipe import Preprocessed, Recipe

__all__ = ["NoiseRecipe", "Preprocessed", "Recipe", "SeedRecipe"]
