"""The resumable state of a training, on the disk."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lpn.checkpoints import read_checkpoint, write_checkpoint
from lpn.errors import UserError
from lpn.training.schedule import agree, describe_steps
from lpn.training.settings import TrainingSettings
from lpn.training.trainer import Trainer

STATE = re.compile(r"[0-9a-f]{16}(\.previous)?\.pt")


class Identity:
    """What a training is, so that only a state of the same training is resumed.

    Args:
        settings: of the training.
        checksums: of its data and of the weights that it starts from.

    Attributes:
        name: 16 hexadecimal digits that differ if anything differs.
        base: the same without the phases, which a longer training shares with a shorter one.
    """

    def __init__(self, settings: TrainingSettings, checksums: dict[str, str] | None = None) -> None:
        values = settings.model_dump(mode="json")
        whole, base = ({"settings": part, "checksums": checksums or {}} for part in (values, {**values, "phases": None}))
        self.name = hashlib.sha256(_canonical(whole).encode()).hexdigest()[:16]
        self.base = _canonical(base)


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


class Checkpoints:
    """The states of a training in a folder, which other trainings may share.

    The newest is `<name>.pt`, the one before it `<name>.previous.pt`, with the name of the training's identity. No state of
    another training is ever deleted.
    """

    def __init__(self, folder: str | Path, identity: Identity) -> None:
        self.folder, self.identity = Path(folder), identity
        self.current, self.previous = (self.folder / f"{identity.name}{end}.pt" for end in ("", ".previous"))

    def save(self, trainer: Trainer) -> None:
        """Save the trainer's state, in the first process; at every moment at least one whole state is on the disk."""
        if trainer.shard.rank:
            return
        if self.current.exists():
            self.current.replace(self.previous)
        origin = {"base_identity": self.identity.base, "schedule": describe_steps(trainer.stages)}
        write_checkpoint(self.current, trainer.state_dict() | origin)

    def restore(self, trainer: Trainer) -> list[str]:
        """Load the newest state of this training into the trainer, or that of a shorter training with the same steps so far.

        Damaged states are renamed, and temporary files of killed processes are removed. Returns sentences that say what
        happened, other than the loading of the newest state. Raises UserError if the state is another network's.
        """
        for unfinished in self.folder.glob(f".{self.current.name}.*"):
            unfinished.unlink(missing_ok=True)
        notes: list[str] = []
        for path in (self.current, self.previous):
            if (state := self._read(path, notes)) is not None:
                trainer.load_state_dict(state, path)
                return notes
        if others := list(self._shorter(trainer, notes)):
            path, state = max(others, key=lambda found: found[1]["iteration"])
            trainer.load_state_dict(state, path)
            notes.append(f"training goes on from {path}, a state of a training with the same steps so far.")
        return notes

    def _read(self, path: Path, notes: list[str]) -> dict[str, Any] | None:
        """Return a state; None if there is none, or it is damaged, which is noted."""
        if not path.exists():
            return None
        try:
            return read_checkpoint(path)
        except UserError as error:
            path.replace(damaged := path.with_name(f"{path.name}.damaged"))
            notes.append(f"warning: {error} It was renamed to {damaged.name}.")
            return None

    def _shorter(self, trainer: Trainer, notes: list[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield the states of trainings that differ in their phases alone, and not in the steps taken so far."""
        schedule = describe_steps(trainer.stages)
        for path in sorted(path for path in self.folder.glob("*.pt") if STATE.fullmatch(path.name)):
            state = self._read(path, notes)
            if state is None or state.get("base_identity") != self.identity.base:
                continue
            if agree(state["schedule"], schedule, state["iteration"]):
                yield path, state
