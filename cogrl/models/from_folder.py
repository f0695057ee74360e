"""A policy of whatever family its folder holds, so that a YAML need not name the class."""

from abc import ABCMeta
from typing import Any

from cogrl.models.audio_lm import AudioLM
from cogrl.models.folder import model_type_of
from cogrl.models.saved import FAMILIES, refuse_no_policy


class ChosenByFolder(ABCMeta):
    """A class of which every call gives an instance of the family in the folder."""

    def __call__(cls, path: str, **shared: Any) -> AudioLM:
        refuse_no_policy(path, "policy.path")
        return FAMILIES[model_type_of(path)](path, **shared)


class FromFolder(AudioLM, metaclass=ChosenByFolder):
    """The policy in `path`, of the class that belongs to the `model_type` in its config.json, not to its name.

    The arguments are those of every family; settings of one alone (`emotion`, `keep_states_mb` ...) need its class.

    Raises FileNotFoundError, NotADirectoryError or ValueError for a folder that holds no policy of a known family.
    """


FromFolder.__abstractmethods__ = frozenset()  # a YAML may name it: nothing is an instance of it itself
