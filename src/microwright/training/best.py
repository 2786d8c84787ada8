"""A Lightning module that remembers the weights of its least validation loss, through a kill too."""

from __future__ import annotations

from typing import Any

import lightning
from torch import Tensor, nn


class BestWeights(lightning.LightningModule):
    """Base of modules that log ``validation``.

    Args:
        network: what is trained; ``best`` are its weights at ``best_loss``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.best: dict[str, Tensor] = {}
        self.best_loss = float("inf")

    def on_validation_epoch_end(self) -> None:
        loss = float(self.trainer.callback_metrics["validation"])
        if loss < self.best_loss:
            self.best_loss = loss
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["best"] = {"loss": self.best_loss, "weights": self.best}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.best_loss = checkpoint["best"]["loss"]
        self.best = checkpoint["best"]["weights"]
