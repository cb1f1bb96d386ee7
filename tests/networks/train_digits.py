"""Train the five shipped classifiers of scikit-learn's digits; write the networks and the test set as files.

Usage (torch and scikit-learn are not dependencies of the project):

    pip install torch==2.13.0 scikit-learn==1.9.1 onnx onnxscript
    python tests/networks/train_digits.py explorer/network/zoo

The digits are those of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998, CC BY 4.0),
as scikit-learn ships them: 1,797 images of 8 x 8 pixels, 0 to 16. 40 % of them (719), stratified by digit with seed 0,
are the test set. The networks take raw pixels; the scaling to [0, 1] is part of the network.

`digits-mobile` is built as MobileNetV3 (A. Howard et al., "Searching for MobileNetV3", ICCV 2019). Its first
convolution takes the raw pixels, each convolution has a batch norm, and residual branches begin at a small gain (zero
initialization: P. Goyal et al., "Accurate, Large Minibatch SGD", 2017). The norms are folded into the convolutions
before the export, as every deployment tool does, so the largest weights of the tensors span some 100 to 1.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPOCHS, BATCH, RATE, OPSET = 60, 64, 2e-3, 21
FIRST_GAIN, RESIDUAL_GAIN = 0.2, 0.1  # initial scales of batch norms in digits-mobile; 1 elsewhere


class Cnn(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x.reshape(-1, 1, 8, 8) / 16))


class Mlp(nn.Module):
    """Three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.reshape(-1, 64) / 16)


class Gru(nn.Module):
    """A GRU that reads the image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, hidden = self.gru(x.reshape(-1, 8, 8) / 16)
        return self.head(hidden[0])


class Block(nn.Module):
    """Self-attention with four heads, then two linear layers, each with a residual and a layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.scale = 4, (width // 4) ** -0.5
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * self.scale, dim=-1) @ v
        x = self.norm_1(x + self.out(mixed.permute(0, 2, 1, 3).reshape(n, t, width)))
        return self.norm_2(x + self.down(torch.relu(self.up(x))))


class Transformer(nn.Module):
    """Two encoder blocks over the eight rows as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(8, 32), nn.Parameter(torch.zeros(8, 32))
        self.blocks = nn.Sequential(Block(32), Block(32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embed(x.reshape(-1, 8, 8) / 16) + self.place).mean(1))


class Gate(nn.Module):
    """Squeeze-and-excitation: weight each channel by two linear layers of the channels' means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, gate and projection; with a residual where the shape stays."""

    def __init__(self, n_in: int, n_out: int, *, expansion: int, stride: int = 1) -> None:
        super().__init__()
        width = n_in * expansion
        self.branch = nn.Sequential(
            *normed(nn.Conv2d(n_in, width, 1, bias=False)), nn.Hardswish(),
            *normed(nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=width, bias=False)), nn.Hardswish(),
            Gate(width), *normed(nn.Conv2d(width, n_out, 1, bias=False)),
        )  # fmt: skip
        self.is_residual = stride == 1 and n_in == n_out
        if self.is_residual:
            nn.init.constant_(self.branch[-1].weight, RESIDUAL_GAIN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.is_residual else self.branch(x)


class Mobile(nn.Module):
    """Four inverted residual blocks on raw pixels, then one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *normed(nn.Conv2d(1, 16, 3, padding=1, bias=False)), nn.Hardswish(),
            InvertedResidual(16, 16, expansion=3), InvertedResidual(16, 24, expansion=4, stride=2),
            InvertedResidual(24, 24, expansion=4), InvertedResidual(24, 24, expansion=4),
            *normed(nn.Conv2d(24, 96, 1, bias=False)), nn.Hardswish(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10),
        )  # fmt: skip
        nn.init.constant_(self.layers[1].weight, FIRST_GAIN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.reshape(-1, 1, 8, 8))


def normed(convolution: nn.Conv2d) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution and its batch norm."""
    return convolution, nn.BatchNorm2d(convolution.out_channels)


def fold_norms(module: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place."""
    for inner in module.modules():
        if isinstance(inner, nn.Sequential):
            for i in range(len(inner) - 1):
                if isinstance(inner[i], nn.Conv2d) and isinstance(inner[i + 1], nn.BatchNorm2d):
                    inner[i], inner[i + 1] = fuse_conv_bn_eval(inner[i], inner[i + 1]), nn.Identity()


NETWORKS = {
    "digits-cnn": Cnn,
    "digits-mobile": Mobile,
    "digits-mlp": Mlp,
    "digits-gru": Gru,
    "digits-transformer": Transformer,
}


def train(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Train with Adam and a cosine learning rate; the same seed gives the same weights on the same machine."""
    order = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    network.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
        schedule.step()
    network.eval()


def export(network: nn.Module, path: Path, example: torch.Tensor, *, outputs: Sequence[str]) -> None:
    """Export to ONNX with a dynamic batch size and without the source annotations of the exporter."""
    torch.onnx.export(
        network, (example,), str(path), opset_version=OPSET, input_names=["x"], output_names=outputs,
        dynamic_shapes=({0: "n"},), dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    model = onnx.load(path)
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main(folder: Path) -> None:
    """Train all five networks, write them and the test set, and print the accuracies."""
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x.reshape(-1, 8, 8), y, test_size=0.4, random_state=0, stratify=y
    )
    np.savez_compressed(folder / "digits.npz", x=x_test.astype(np.uint8), y=y_test.astype(np.uint8))
    torch.set_num_threads(1)
    images, test_images = torch.tensor(x_train, dtype=torch.float32), torch.tensor(x_test, dtype=torch.float32)
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        network = make()
        train(network, images, torch.tensor(y_train))
        if isinstance(network, Mobile):
            fold_norms(network)
        export(network, folder / f"{name}.onnx", torch.zeros(2, 8, 8), outputs=["logits"])
        with torch.no_grad():
            n_correct = int((network(test_images).argmax(1).numpy() == y_test).sum())
        n_bytes = (folder / f"{name}.onnx").stat().st_size
        print(f"{name}: {n_correct} of {len(y_test)} = {n_correct / len(y_test):.4f}, {n_bytes:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
