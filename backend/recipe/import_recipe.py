"""import_recipe(): a recipe from another tool's YAML, whichever tool it is, by the keys that it has."""

from __future__ import annotations

from pathlib import Path

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import from_axolotl, from_llama_factory
from finetty.backend.recipe.foreign import Foreign, Imported
from finetty.backend.recipe.llama_factory import SIGNS

NOT_KNOWN = message("import.not_known", "This is neither a LLaMA-Factory nor an Axolotl configuration.")
WHAT_IS = message("import.what_is", "LLaMA-Factory's has model_name_or_path in it, Axolotl's base_model.")
IS_A_RECIPE = message("import.is_a_recipe", "This is a recipe of finetty already.")
USE_IT = message("import.use_it", "Use it as it is: `finetty train {path}`.")


def import_recipe(path: Path) -> Imported:
    """Raises Refusal with file and line: broken YAML, another kind of file, a value that no training could have."""
    foreign = Foreign(path)
    if "finetty" in foreign:
        raise Refusal(IS_A_RECIPE(), USE_IT(path=path), path=path)
    keys = foreign.values.keys()
    theirs, others = len(SIGNS & keys), len(from_axolotl.SIGNS & keys)
    if not theirs and not others:
        raise Refusal(NOT_KNOWN(), WHAT_IS(), path=path)
    return from_llama_factory.recipe_of(foreign) if theirs >= others else from_axolotl.recipe_of(foreign)
