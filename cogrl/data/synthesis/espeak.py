"""espeak-ng through ctypes: text, voice and prosody parameters in, 22.05 kHz samples out. No emotions here.

espeak-ng is a GPL-3 program. It comes from the optional package `espeakng-loader`, is loaded only by the processes that
render a corpus, and only its audio output is kept.
"""

import _ctypes
import ctypes
import os
from xml.sax.saxutils import escape

import numpy as np

_RETRIEVAL, _UTF8, _SSML = 1, 1, 0x10
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_UNITS_PER_ST = 5.7  # of the pitch parameter, 50 at the voice's own pitch; measured on eight voices
_ST_PER_SPAN = 2.0  # a wider range lifts the mean, which `pitch_st` must not notice; measured
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_SYNTH = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint]]
_SYNTH += [ctypes.c_void_p, ctypes.c_void_p]


class Espeak:
    """An engine for one process at a time. The library keeps global state, so parallel work means processes.

    Raises ImportError without `espeakng-loader`. Linux and macOS (each call unloads the library, see `speak`).
    """

    def __init__(self):
        try:
            import espeakng_loader
        except ImportError as error:
            raise ImportError(
                "LIME-mini is rendered with espeak-ng, which is not installed: pip install 'cogrl[espeak]' "
                "(or build the dependency-free tier 'smoke')"
            ) from error
        self._path = espeakng_loader.get_library_path()
        self._data = os.path.dirname(espeakng_loader.get_data_path()).encode()

    def speak(
        self, text: str, voice: str, pitch_st: float, span: float, words_per_minute: float, final_st: float
    ) -> tuple[np.ndarray, int]:
        """(float32 samples, sampling rate) of `text`, the last word moved by `final_st` semitones.

        `pitch_st` shifts the voice's own pitch, `span` scales its pitch range around an unchanged mean; they saturate
        where espeak's 0-100 parameters end (about -8.5 to +8.5 semitones, 0 to 2 times the range). The library is
        loaded, seeded and unloaded for each call (3 ms): otherwise its noise, vibrato and wave phases make a clip
        depend on the clip before it.
        Raises ValueError for a voice that the library does not have.
        """
        library = ctypes.CDLL(self._path)
        try:
            return self._speak(library, text, voice, pitch_st, span, words_per_minute, final_st)
        finally:
            library.espeak_Terminate()  # its threads must be gone before the code they run is
            _ctypes.dlclose(library._handle)

    def _speak(self, library, text, voice, pitch_st, span, words_per_minute, final_st) -> tuple[np.ndarray, int]:
        chunks: list[np.ndarray] = []

        def collect(samples, count: int, events) -> int:
            if samples and count > 0:
                chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
            return 0

        callback = _CALLBACK(collect)
        rate = library.espeak_Initialize(_RETRIEVAL, 0, self._data, 0)
        library.espeak_ng_SetRandSeed(1)
        ctypes.CDLL(None).srand(1)  # the noise of the klatt voices is libc's, which outlives the library
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        pitch = 50 + _UNITS_PER_ST * (pitch_st - _ST_PER_SPAN * (span - 1))
        for parameter, value, low, high in (
            (_RATE, words_per_minute, 80, 400),
            (_VOLUME, 60, 0, 99),
            (_PITCH, pitch, 0, 99),
            (_RANGE, 50 * span, 0, 99),
        ):
            library.espeak_SetParameter(parameter, round(min(max(value, low), high)), 0)
        head, _, tail = text.rpartition(" ")
        last = round(min(max(pitch + _UNITS_PER_ST * final_st, 0), 99))
        ssml = f'<speak>{escape(head)} <prosody pitch="{last}">{escape(tail)}</prosody></speak>'.encode()
        library.espeak_Synth.argtypes = _SYNTH
        library.espeak_Synth(ssml, len(ssml) + 1, 0, 1, 0, _SSML | _UTF8, None, None)
        library.espeak_Synchronize()
        return np.concatenate(chunks).astype(np.float32) / 32768, rate
