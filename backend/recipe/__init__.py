"""The Recipe: one validated, serializable description of a run."""

from finetty.backend.recipe.files import anchored, dump_recipe, is_hub_name, load_recipe, parse_recipe, save_recipe
from finetty.backend.recipe.options import Option, option_named, options, value_of, with_assignments, with_values
from finetty.backend.recipe.schema import DataFile, Recipe

__all__ = [
    "DataFile",
    "Option",
    "Recipe",
    "anchored",
    "dump_recipe",
    "is_hub_name",
    "load_recipe",
    "option_named",
    "options",
    "parse_recipe",
    "save_recipe",
    "value_of",
    "with_assignments",
    "with_values",
]
