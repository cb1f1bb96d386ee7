"""Train the four shipped networks on scikit-learn's digits; write the networks and the test set as files.

Usage (torch and scikit-learn are not dependencies of the project):

    pip install torch==2.13.0 scikit-learn==1.9.1 onnx onnxscript
    python tests/networks/train_digits.py explorer/network/zoo

The digits are those of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998, CC BY 4.0),
as scikit-learn ships them: 1,797 images of 8 x 8 pixels, 0 to 16. 40 % of them (719), stratified by digit with seed 0,
are the test set. The networks take raw pixels; the scaling to [0, 1] is part of the network.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS, BATCH, RATE, OPSET = 60, 64, 2e-3, 21


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


NETWORKS = {"digits-cnn": Cnn, "digits-mlp": Mlp, "digits-gru": Gru, "digits-transformer": Transformer}


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


def export(network: nn.Module, path: Path) -> None:
    """Export to ONNX with a dynamic batch size and without the source annotations of the exporter."""
    torch.onnx.export(
        network, (torch.zeros(2, 8, 8),), str(path), opset_version=OPSET, input_names=["x"], output_names=["logits"],
        dynamic_shapes={"x": {0: "n"}}, dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    model = onnx.load(path)
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main(folder: Path) -> None:
    """Train all four networks, write them and the test set, and print the accuracies."""
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
        export(network, folder / f"{name}.onnx")
        with torch.no_grad():
            n_correct = int((network(test_images).argmax(1).numpy() == y_test).sum())
        n_bytes = (folder / f"{name}.onnx").stat().st_size
        print(f"{name}: {n_correct} of {len(y_test)} = {n_correct / len(y_test):.4f}, {n_bytes:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
