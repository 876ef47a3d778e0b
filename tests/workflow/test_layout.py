"""Where the files of a run are."""

from pathlib import Path

from layout import Layout, canonical

LAYOUT = Layout("run", Path("data"))
OUT = Path("results/run")


def test_canonical_settings() -> None:
    assert canonical({"b": [1, None], "a": {"d": 1.0, "c": "x"}}) == '{"a": {"c": "x", "d": 1.0}, "b": [1, null]}'


def test_prepared_names_depend_on_settings_alone() -> None:
    first, same = Layout.prepared_name("a", {"x": 1, "y": 2}), Layout.prepared_name("a", {"y": 2, "x": 1})
    assert first == same
    assert first.startswith("a-")
    assert len({first, Layout.prepared_name("a", {"x": 1, "y": 3}), Layout.prepared_name("b", {"x": 1, "y": 2})}) == 3


def test_paths() -> None:
    assert (LAYOUT.out, LAYOUT.logs, LAYOUT.prepared) == (OUT, Path("logs/run"), Path("data/prepared"))
    assert LAYOUT.data("a-1") == [Path(f"data/prepared/a-1/{split}.npy") for split in ("train", "validation", "test")]
    names = ("train_y.npy", "train_start.npy", "validation_y.npy", "validation_start.npy", "pairs.json")
    assert LAYOUT.pairs("a-1-2") == [Path(f"data/prepared/a-1-2/{name}") for name in names]
    assert LAYOUT.model("m") == OUT / "models/m/model.pt"
    assert LAYOUT.model_files("m", trained=False) == [
        OUT / "models/m" / name for name in ("model.pt", "model_config.json", "made_with.json")
    ]
    assert LAYOUT.model_files("m", trained=True)[3:] == [OUT / "models/m/training.csv"]
    assert LAYOUT.certificate("m") == OUT / "certificates/m.json"
    assert LAYOUT.checkpoints("m", "abc") == OUT / "checkpoints/m/abc"
    assert LAYOUT.curves("c", ["a", "b"]) == [OUT / "curves/c/a.csv", OUT / "curves/c/b.csv"]
    assert LAYOUT.prior("p", "m", "blur") == OUT / "priors/p/m/blur.csv"
    assert LAYOUT.prior("p", "m", "blur", ".npz") == OUT / "priors/p/m/blur.npz"
    assert LAYOUT.experiment("e") == OUT / "experiments/e"
    assert LAYOUT.measurements("e", "test", 1) == OUT / "experiments/e/measurements/test_1.npz"
    assert LAYOUT.result("e", "tv", 1, "_iterations.csv") == OUT / "experiments/e/tv/1_iterations.csv"
    assert LAYOUT.chosen("e", "tv") == OUT / "experiments/e/tuning/tv.json"
    assert LAYOUT.scores("e", "tv", "0.1") == OUT / "experiments/e/tuning/tv/0.1.json"
    assert LAYOUT.figure("f") == [OUT / f"figures/f.{suffix}" for suffix in ("pdf", "png", "html")]
    assert LAYOUT.table("t") == OUT / "tables/t.csv"
