"""Train the shipped networks that are not judged by one class a sample; write them and their test data as files.

Usage (torch, scikit-learn and the speech synthesizer are not dependencies of the project):

    pip install torch==2.13.0 scikit-learn==1.9.1 espeakng-loader==0.2.4 onnx onnxscript
    python tests/networks/train_tasks.py explorer/network/zoo

| network | task | data |
|---|---|---|
| `scene-detector` | boxes and classes of one to three digits in a scene of 32 x 32 pixels | scikit-learn's digits |
| `spoken-words` | which of ten words was spoken, or none | synthesized: eSpeak NG, voices and words held out |
| `diabetes` | progression of diabetes after a year | Efron et al., Annals of Statistics 2004; scikit-learn |
| `python-text` | next character of a text | Python's own help texts (pydoc_data.topics), PSF licence |

Test data: scenes of the digits that `train_digits.py` holds out; words by speakers that the network has not heard; 40 %
of the patients; every tenth help text.
"""

import ctypes
import functools
import pydoc_data.topics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import espeakng_loader
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from train_digits import export

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
SIDE, STRIDE, N_BOXES = 32, 4, 3
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHERS = ("bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "nine", "one", "seven", "sheila",
          "six", "three", "tree", "two", "wow", "zero", "marvin")  # fmt: skip
VOICES = ("m1", "m2", "m3", "m4", "f1", "f2", "f3", "f4", "adam", "belinda", "david", "ed", "john", "linda", "max",
          "mike2", "rob", "steph")  # fmt: skip
HELD_OUT = ("m5", "f5", "robert", "steph2")
N_BANDS, N_FRAMES = 16, 25
N_SYMBOLS, LENGTH = 48, 64
N_SCENES, N_TEXTS = 80, 100


def depthwise(n_in: int, n_out: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a depthwise and a pointwise convolution with a batch norm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_in, size, stride=stride, padding=size // 2, groups=n_in, bias=False),
        nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU6(),
    )  # fmt: skip


class Detector(nn.Module):
    """Anchor-free detector: each cell of 4 x 4 pixels gives one box and a score for each digit."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            depthwise(32, 48, size=5), depthwise(48, 48),
        )  # fmt: skip
        self.head = nn.Conv2d(48, 14, 1)
        nn.init.constant_(self.head.bias, -2.0)
        n = SIDE // STRIDE
        center = (torch.arange(n) + 0.5) * STRIDE
        self.register_buffer("centers", torch.stack(torch.meshgrid(center, center, indexing="xy"), -1).reshape(-1, 2))

    def raw(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of each cell, shape (n, 64, 14): offsets, logarithmic sizes, digits."""
        return self.head(self.body(x.reshape(-1, 1, SIDE, SIDE) / 16)).flatten(2).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw = self.raw(x)
        middle, half = self.centers + raw[..., :2] * STRIDE, torch.exp(raw[..., 2:4]) * SIDE / 2
        return torch.cat([middle - half, middle + half], -1), torch.sigmoid(raw[..., 4:])


class Spotter(nn.Module):
    """Depthwise-separable network for keywords (Y. Zhang et al., "Hello Edge", 2017); ten independent scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=(1, 2), padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
            depthwise(32, 48, stride=2), depthwise(48, 64), depthwise(64, 64),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(KEYWORDS)),
        )  # fmt: skip

    def raw(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the keywords, shape (n, 10)."""
        return self.layers(x.reshape(-1, 1, N_BANDS, N_FRAMES) / 255)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.raw(x))


class Regressor(nn.Module):
    """Two hidden layers; the answer is in the units of the labels."""

    def __init__(self, mean: float, spread: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
        self.mean, self.spread = mean, spread

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x * 20) * self.spread + self.mean


class LanguageModel(nn.Module):
    """Embedding, GRU and a linear layer: the logits of the next character at each position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(N_SYMBOLS, 24), nn.GRU(24, 64, batch_first=True)
        self.head = nn.Linear(64, N_SYMBOLS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(self.embed(tokens))[0])


def scenes(digits: NDArray[np.uint8], classes: NDArray[np.int64], n: int, rng: np.random.Generator) -> tuple:
    """Return n scenes and their boxes, shapes (n, 32, 32) and (n, 3, 5): x1, y1, x2, y2, class; -1 where there is none.

    Digits are enlarged 1 to 1.75 times, do not overlap, and lie on a noise of up to 3 of 16 grey levels.
    """
    images = rng.integers(0, 4, (n, SIDE, SIDE))
    boxes = np.full((n, N_BOXES, 5), -1)
    for i in range(n):
        taken = np.zeros((SIDE, SIDE), dtype=bool)
        for k in range(int(rng.integers(1, N_BOXES + 1))):
            side, chosen = int(rng.integers(8, 15)), int(rng.integers(len(digits)))
            y, x = rng.integers(0, SIDE - side + 1, 2)
            if taken[y : y + side, x : x + side].any():
                continue
            taken[y : y + side, x : x + side] = True
            pixel = np.arange(side) * 8 // side
            glyph = digits[chosen].astype(int).reshape(8, 8)[np.ix_(pixel, pixel)]
            spot = images[i, y : y + side, x : x + side]
            np.maximum(spot, glyph, out=spot)
            boxes[i, k] = x, y, x + side, y + side, classes[chosen]
    return images.astype(np.uint8), boxes.astype(np.int8)


def detection_loss(network: nn.Module, x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy of all cells and the L1 distance of the boxes at the cells of their centers."""
    raw, n = network.raw(x), SIDE // STRIDE
    wanted = torch.zeros_like(raw[..., 4:])
    image, k = torch.nonzero(boxes[..., 4] >= 0, as_tuple=True)
    box = boxes[image, k].float()
    middle, size = (box[:, :2] + box[:, 2:4]) / 2, box[:, 2:4] - box[:, :2]
    cell = (middle / STRIDE).long().clamp(max=n - 1)
    place = cell[:, 1] * n + cell[:, 0]
    wanted[image, place, box[:, 4].long()] = 1
    target = torch.cat([(middle - network.centers[place]) / STRIDE, torch.log(size / SIDE)], 1)
    scores = nn.functional.binary_cross_entropy_with_logits(raw[..., 4:], wanted, reduction="sum") / len(box)
    return scores + 2 * nn.functional.l1_loss(raw[image, place, :4], target)


@functools.cache
def synthesizer() -> tuple[Callable[..., NDArray[np.float64]], int]:
    """Return a function that speaks a text, and its sampling rate in Hz (eSpeak NG, speak_lib.h); it starts once."""
    library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
    pieces: list[NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def collect(wave: object, n: int, _: object) -> int:
        if n > 0:
            pieces.append(np.ctypeslib.as_array(wave, (n,)).copy())
        return 0

    rate = library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(collect)

    def speak(text: str, voice: str, *, pitch: int, speed: int) -> NDArray[np.float64]:
        _ = collect  # ctypes does not keep the function alive
        pieces.clear()
        if library.espeak_SetVoiceByName(f"en-us+{voice}".encode()):
            raise ValueError(voice)
        library.espeak_SetParameter(3, pitch, 0)
        library.espeak_SetParameter(1, speed, 0)
        data = text.encode()
        library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
        return np.concatenate(pieces) / 32768

    return speak, rate


def log_mel(wave: NDArray[np.float64], rate: int) -> NDArray[np.uint8]:
    """Return one second as 16 mel bands of 25 frames, -80 to 0 dB of full scale as 0 to 255."""
    hop, size = rate // N_FRAMES, 1024
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, size)), size)[::hop][:N_FRAMES]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2 / size
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), N_BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    energy = power @ np.clip(np.minimum(rise, fall), 0, None).T
    decibels = 10 * np.log10(energy / size + 1e-8)
    return np.clip((decibels + 80) / 80 * 255, 0, 255).astype(np.uint8).T


def words(voices: tuple[str, ...], n_each: int, rng: np.random.Generator) -> tuple:
    """Return features and classes (0: none of the keywords) of each word by each voice, n_each times with noise."""
    speak, rate = synthesizer()
    features, classes = [], []
    for voice in voices:
        for number, word in enumerate((*KEYWORDS, *OTHERS)):
            for _ in range(n_each):
                if word in OTHERS and rng.random() < 0.5:
                    continue
                pitch, speed = int(rng.integers(25, 80)), int(rng.integers(130, 230))
                wave = np.zeros(rate)
                spoken = speak(word, voice, pitch=pitch, speed=speed)[:rate]
                start = int(rng.integers(0, rate - len(spoken) + 1))
                wave[start : start + len(spoken)] = spoken
                loudness = np.sqrt((spoken**2).mean()) * 10 ** (-rng.uniform(5, 25) / 20)
                features.append(log_mel(wave + loudness * rng.standard_normal(rate), rate))
                classes.append(number + 1 if word in KEYWORDS else 0)
    return np.array(features), np.array(classes)


def spotting_loss(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of ten independent scores, features shifted by up to two frames."""
    x = torch.roll(x, int(torch.randint(-2, 3, ())), 2)
    wanted = nn.functional.one_hot(y, len(KEYWORDS) + 1)[:, 1:].float()
    return nn.functional.binary_cross_entropy_with_logits(network.raw(x), wanted)


def texts() -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Return training and test text as symbols, and the symbols; rare characters are '~'."""
    cleaned = ["".join(c for c in text.lower() if c != "~") for _, text in sorted(pydoc_data.topics.topics.items())]
    common = [symbol for symbol, _ in Counter("".join(cleaned)).most_common(N_SYMBOLS - 1)]
    symbols = "".join(sorted(common)) + "~"
    code = {symbol: number for number, symbol in enumerate(symbols)}
    held_out, rest = "".join(cleaned[::10]), "".join(text for i, text in enumerate(cleaned) if i % 10)
    train, test = ([code.get(c, N_SYMBOLS - 1) for c in text] for text in (rest, held_out))
    return np.array(train, dtype=np.uint8), np.array(test, dtype=np.uint8), symbols


def fit(network: nn.Module, batches: Batches, n_steps: int, loss: Loss, *, decay: float = 1e-4) -> None:
    """Train with Adam and a cosine learning rate."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    network.train()
    for _, (x, y) in zip(range(n_steps), batches, strict=False):
        optimizer.zero_grad()
        loss(network, x, y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    network.eval()


def shuffled(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> Batches:
    """Yield random batches for ever; images, features and numbers as floats."""
    while True:
        rows = rng.integers(0, len(x), size)
        yield torch.tensor(x[rows], dtype=torch.float32), torch.tensor(y[rows])


def detector(folder: Path) -> None:
    """Train the detector."""
    rng = np.random.default_rng(0)
    digits, classes = load_digits(return_X_y=True)
    halves = train_test_split(digits, classes, test_size=0.4, random_state=0, stratify=classes)
    x, y = scenes(halves[0], halves[2], 8000, rng)
    network = Detector()
    fit(network, shuffled(x, y, 32, rng), 2500, detection_loss)
    test_x, test_y = (values[:N_SCENES] for values in scenes(halves[1], halves[3], 150, rng))
    np.savez_compressed(folder / "scene-detector.npz", x=test_x, y=test_y)
    export(network, folder / "scene-detector.onnx", torch.zeros(2, SIDE, SIDE), outputs=["boxes", "scores"])


def spotter(folder: Path) -> None:
    """Train the keyword spotter."""
    rng = np.random.default_rng(0)
    x, y = words(VOICES, 8, rng)
    network = Spotter()
    fit(network, shuffled(x, y, 64, rng), 2500, spotting_loss)
    test_x, test_y = words(HELD_OUT, 3, rng)
    np.savez_compressed(folder / "spoken-words.npz", x=test_x, y=test_y.astype(np.uint8))
    export(network, folder / "spoken-words.onnx", torch.zeros(2, N_BANDS, N_FRAMES), outputs=["scores"])
    with torch.no_grad():
        scores = network(torch.tensor(test_x, dtype=torch.float32)).numpy()
    said = np.where(scores.max(1) > 0.5, scores.argmax(1) + 1, 0)
    print(f"spoken-words: {(said == test_y).mean():.3f} of {len(test_y)}, {len(x)} for training")


def regressor(folder: Path) -> None:
    """Train the regression."""
    x, y = load_diabetes(return_X_y=True)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.4, random_state=0)
    network = Regressor(float(y.mean()), float(y.std()))
    fit(network, shuffled(x, y.astype(np.float32), 64, np.random.default_rng(0)), 400,
        lambda net, x, y: nn.functional.smooth_l1_loss(net(x)[:, 0] / 50, y / 50), decay=0.3)  # fmt: skip
    np.savez_compressed(folder / "diabetes.npz", x=test_x.astype(np.float32), y=test_y.astype(np.float32))
    export(network, folder / "diabetes.onnx", torch.zeros(2, 10), outputs=["progression"])
    with torch.no_grad():
        error = network(torch.tensor(test_x, dtype=torch.float32))[:, 0].numpy() - test_y
    print(f"diabetes: R2 {1 - (error**2).mean() / test_y.var():.3f}, mean error {np.abs(error).mean():.1f}")


def language_model(folder: Path) -> None:
    """Train the language model."""
    rng = np.random.default_rng(0)
    train, test, symbols = texts()

    def batches() -> Batches:
        while True:
            start = rng.integers(0, len(train) - LENGTH - 1, 64)
            rows = torch.tensor(train[start[:, None] + np.arange(LENGTH + 1)].astype(np.int64))
            yield rows[:, :-1], rows[:, 1:]

    network = LanguageModel()
    fit(network, batches(), 3000, lambda net, x, y: nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten()))
    rows = test[: len(test) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    rows = rows[rng.permutation(len(rows))[:N_TEXTS]]
    np.savez_compressed(folder / "python-text.npz", x=rows[:, :-1], y=rows[:, 1:])
    export(network, folder / "python-text.onnx", torch.zeros(2, LENGTH, dtype=torch.int64), outputs=["logits"])
    with torch.no_grad():
        logits = network(torch.tensor(rows[:, :-1].astype(np.int64)))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(rows[:, 1:].astype(np.int64)).flatten())
    print(f"python-text: perplexity {float(loss.exp()):.2f} of {len(symbols)} symbols {symbols!r}")


def main(folder: Path, names: list[str]) -> None:
    """Train all networks, or those named."""
    torch.set_num_threads(1)
    makers = {"scene-detector": detector, "spoken-words": spotter, "diabetes": regressor, "python-text": language_model}
    for name in names or makers:
        torch.manual_seed(0)
        makers[name](folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
