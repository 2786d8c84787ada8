"""One way to train: Lightning with progress, checkpoints every epoch, and resume from the last one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from torch.utils.data import DataLoader

from microwright.errors import InputError
from microwright.training.batches import StepBatches
from microwright.training.checkpoints import SafetensorsCheckpoints
from microwright.training.settings import TrainerOptions


class _EpochOfBatches(Callback):
    """Tells the batches which epoch and process they are drawn for."""

    def __init__(self, batches: StepBatches) -> None:
        self.batches = batches

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.batches.epoch = trainer.current_epoch
        self.batches.rank = trainer.global_rank
        self.batches.processes = trainer.world_size


def fit(
    module: lightning.LightningModule,
    batches: StepBatches,
    epochs: int,
    options: TrainerOptions,
    validation: DataLoader | None = None,
    callbacks: Sequence[Callback] = (),
) -> lightning.Trainer:
    """Train ``module`` for ``epochs``, continuing from the last whole checkpoint in ``options.folder``.

    Several devices are as many processes, which share every batch: the loss is that of one process within rounding,
    but for batch statistics, which only GPUs share.

    Raises:
        InputError: a batch that the devices cannot share equally.
    """
    last = options.folder / "last.ckpt"
    # state_key keeps this callback's state apart from a caller's own ModelCheckpoint
    keeper = ModelCheckpoint(dirpath=options.folder, filename="last", enable_version_counter=False)
    bars: list[Callback] = [RichProgressBar(leave=False)] if options.progress else []
    with warnings.catch_warnings(), _quiet_lightning():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator=options.accelerator,
            devices=options.devices,
            use_distributed_sampler=False,  # every process validates on everything, so all judge alike
            plugins=[SafetensorsCheckpoints()],
            callbacks=[_EpochOfBatches(batches), keeper, *callbacks, *bars],
            logger=False,
            enable_progress_bar=options.progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **_together(options),
        )
        if batches.batch % trainer.world_size:
            raise InputError(
                f"devices: a batch of {batches.batch} cannot be shared equally by {trainer.world_size}; choose fewer"
            )
        trainer.fit(module, batches.loader(), validation, ckpt_path=str(last) if last.exists() else None)
    if trainer.world_size > 1:
        _take(module, last)
    return trainer


def _together(options: TrainerOptions) -> dict[str, Any]:
    """How several devices work: in processes that last as long as the training, whose result comes back here."""
    if options.devices == 1:
        return dict(options.extra)
    batch_statistics = options.accelerator != "cpu" and torch.cuda.is_available()
    several = {"strategy": "ddp_spawn_find_unused_parameters_true", "sync_batchnorm": batch_statistics}
    return {**several, **options.extra}


def _take(module: lightning.LightningModule, checkpoint: Path) -> None:
    """What the processes made of ``module``, with all that it keeps beside its weights."""
    content = SafetensorsCheckpoints().load_checkpoint(checkpoint)
    module.load_state_dict(content["state_dict"])
    module.on_load_checkpoint(content)


class _quiet_lightning:
    """Lightning's start-up notes say nothing that a user of the command line needs."""

    def __enter__(self) -> None:
        self.levels = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric")}
        for name in self.levels:
            logging.getLogger(name).setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
