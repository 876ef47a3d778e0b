"""The resumable state of a training, on the disk."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lpn.checkpoints import read_checkpoint, write_checkpoint
from lpn.errors import UserError
from lpn.training.schedule import agree
from lpn.training.settings import Phase, TrainingSettings
from lpn.training.trainer import Trainer


class Identity:
    """What a training is, so that only a state of the same training is resumed.

    Args:
        settings: of the training.
        checksums: of its data and of the weights that it starts from.

    Attributes:
        name: 16 hexadecimal digits that differ if anything differs.
        base: the same without the phases, which a longer training shares with a shorter one.
        phases: the phases.
    """

    def __init__(self, settings: TrainingSettings, checksums: dict[str, str] | None = None) -> None:
        values = {"settings": settings.model_dump(mode="json"), "checksums": checksums or {}}
        self.name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
        self.phases = values["settings"].pop("phases")
        self.base = json.dumps(values, sort_keys=True)

    def continues(self, state: dict[str, Any]) -> bool:
        """Return whether this training, or one that differs in its phases alone, took all steps of a state."""
        if state.get("base_identity") != self.base:
            return False
        phases, others = (map(Phase.model_validate, values) for values in (self.phases, state["phases"]))
        return agree(phases, others, state["iteration"])


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
        origin = {"base_identity": self.identity.base, "phases": self.identity.phases}
        write_checkpoint(self.current, trainer.state_dict() | origin)

    def restore(self, trainer: Trainer) -> list[str]:
        """Load the newest state of this training into the trainer, or that of a shorter training with the same steps so far.

        Damaged states are renamed. Returns sentences that say what happened, other than the loading of the newest state.
        Raises UserError if the state is another network's.
        """
        notes: list[str] = []
        found = next(_states([self.current, self.previous], notes), None)
        if found is None:
            others = _states(sorted(self.folder.glob("[0-9a-f]" * 16 + "*.pt")), notes)
            shorter = [(path, state) for path, state in others if self.identity.continues(state)]
            found = max(shorter, key=lambda other: other[1]["iteration"], default=None)
            if found:
                notes.append(f"training goes on from {found[0]}, a state of a training with the same steps so far.")
        if found:
            trainer.load_state_dict(found[1], found[0])
        return notes


def _states(paths: Iterable[Path], notes: list[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the states that exist. Damaged ones are renamed, which is noted."""
    for path in filter(Path.exists, paths):
        try:
            yield path, read_checkpoint(path)
        except UserError as error:
            path.replace(damaged := path.with_name(f"{path.name}.damaged"))
            notes.append(f"warning: {error} It was renamed to {damaged.name}.")
