"""Speech as units and back: the embedded codec, and those of transformers behind the same interface."""

from cogrl.codecs.codec import Codec
from cogrl.codecs.read import read_codec

__all__ = ["Codec", "read_codec"]
