"""Voice activity: a loop over windows with a state; the share of windows decided as the source network decides."""

import numpy as np
import source

RATE, WINDOW, CONTEXT, N_WINDOWS = 16_000, 512, 64, 40


def data():
    """Return four sounds of 1.3 s, shape (4, 20480): vowels in syllables, a tone, noise; and the source's decisions."""
    rng, t = np.random.default_rng(0), np.arange(WINDOW * N_WINDOWS) / RATE
    formants = np.array([[700, 1200, 2500], [300, 2200, 3000]])
    sounds = []
    for vowel, pitch in zip(formants, (120, 210), strict=True):
        harmonics = pitch * np.arange(1, 30)
        gains = sum(1 / (1 + ((harmonics - f) / 90) ** 2) for f in vowel) + 0.01
        glide = 2 * np.pi * np.cumsum(1 + 0.1 * np.sin(2 * np.pi * 2 * t)) / RATE
        voice = (gains[:, None] * np.sin(np.outer(harmonics, glide))).sum(axis=0)
        sounds.append(0.2 * voice * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1))
    sounds += [0.3 * np.sin(2 * np.pi * 440 * t), 0.05 * rng.standard_normal(t.size)]
    x = (np.array(sounds) + 0.001 * rng.standard_normal((4, t.size))).astype(np.float32)
    return x, _decisions(source.run, x)


def score(run, inputs, y):
    """Return the share of windows with the source's decision, for each sound."""
    return (_decisions(run, inputs["x"]) == y).mean(axis=1)


def _decisions(run, sounds):
    """Return for each window of each sound if it is speech, shape (n, 40)."""
    names = {entry.name for entry in source.session().get_inputs()}
    return np.array([(_sequence if "h" in names else _windows)(run, sound, names) > 0.5 for sound in sounds])


def _framed(sound):
    padded = np.concatenate([np.zeros(CONTEXT, dtype=np.float32), sound])
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + WINDOW)[::WINDOW]


def _windows(run, sound, names):
    state, probabilities = np.zeros((2, 1, 128), dtype=np.float32), []
    for window in _framed(sound):
        feeds = {"input": window[None], "state": state, "sr": np.array(RATE, dtype=np.int64)}
        outputs = run({name: value for name, value in feeds.items() if name in names})
        state = outputs["stateN"]
        probabilities.append(outputs["output"].item())
    return np.array(probabilities)


def _sequence(run, sound, names):
    state = np.zeros((1, 1, 128), dtype=np.float32)
    return run({"input": np.ascontiguousarray(_framed(sound)), "h": state, "c": state})["speech_probs"]
