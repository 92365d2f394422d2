"""What can be tuned: a model's facts, the tags in its name, where it is and where it comes from."""

from finetty.backend.models.facts import LinearModules, ModelFacts
from finetty.backend.models.folder import model_facts
from finetty.backend.models.places import DEMO_MODEL, LocalModel, local_models, locate
from finetty.backend.models.sources import fetch
from finetty.backend.models.tags import TAGS, NameSays, Tag, name_says, tag_named, tags

__all__ = [
    "DEMO_MODEL",
    "TAGS",
    "LinearModules",
    "LocalModel",
    "ModelFacts",
    "NameSays",
    "Tag",
    "fetch",
    "local_models",
    "locate",
    "model_facts",
    "name_says",
    "tag_named",
    "tags",
]
