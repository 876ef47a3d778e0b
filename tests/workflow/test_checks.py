"""Faulty configurations are refused before any job, by the key and with the remedy; what must work is accepted."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from configuration import ConfigurationError

from .conftest import CRITIC, TINY, Checker

Update = dict[str, Any]
NEW = {"network": {"name": "lpn_28"}, "data": "mnist", "sigma": 0.1}  # what is needed beside a source
PGD = {"title": "Other", "solver": "pgd", "scale": 0.5, "iterations": 2}
NLM = PGD | {"prox": {"name": "nlm", "sigma": 0.1}}
GREY = {"data": {"grey": {"name": "bsds500", "grey": True}}}  # 321x481 pixels


SCANS = """from lpn.data import DataSet


class Scans(DataSet):
    requires = {"nibabel": "pip install nibabel"}
    channels = 1

    def sizes(self, split):
        return [(28, 28, 9)]
"""


def model(name: str, **settings: object) -> Update:
    """Return an update of a model."""
    return {"models": {name: settings}}


def method(name: str, **settings: object) -> Update:
    """Return an update of a method."""
    return {"methods": {name: settings}}


def deblur(**settings: object) -> Update:
    """Return an update of the experiment."""
    return {"experiments": {"deblur": settings}}


def only(name: str, **settings: object) -> Update:
    """Return an update after which the experiment has one method, which is new or changed."""
    return method(name, **settings) | deblur(methods=[name])


def phases(*losses: object) -> list[dict[str, object]]:
    """Return phases of one step."""
    return [{"loss": loss, "steps": 1, "lr": 1} for loss in losses]


ACR = {"title": "Other", "solver": {"name": "gradient_descent", "weight": 1}, "scale": 0.5, "iterations": 2}
IMPORTED = {"network": {"name": "ar", "channels": 3, "size": 64}, "data": "celeba", "source": "https://example.org/c.pt"}


FAULTS = {
    # learned regularisers
    "regulariser of a solver that takes a prox": (
        only("new", **PGD, regulariser={"model": "dncnn"}),
        "key 'methods.new': has regulariser, but the solver pgd takes prox.",
    ),
    "regulariser that is no model": (
        only("new", **ACR, regulariser={"model": "dncn"}),
        "key 'experiments.deblur.methods.new.regulariser.model' names 'dncn'",
    ),
    "denoiser as a regulariser": (
        only("new", **ACR, regulariser={"model": "dncnn"}),
        "key 'experiments.deblur.methods.new': the network dncnn is no regulariser but a denoiser: name it under 'prox'.",
    ),
    "critic of another size": (
        only("new", **ACR, regulariser={"model": "critic"}) | model("critic", **IMPORTED),
        "key 'experiments.deblur.methods.new': the network ar was made for images of 64x64, and the images are 128x128",
    ),
    # keys, types and ranges
    "key": ({"experimnts": {}}, "key 'top level': unknown key 'experimnts'; did you mean 'experiments'?"),
    "key of a model": (
        model("mnist", batchsize=3),
        "key 'models.mnist': unknown key 'batchsize'; did you mean 'batch_size'?",
    ),
    "key of a network": (
        model("mnist", network={"width": 3}),
        "key 'models.mnist.network': unknown key 'width'; the known ones are: name, channels, hidden, beta, alpha.",
    ),
    "key of another network": (model("mnist", network={"depth": 3}), "key 'models.mnist.network': unknown key 'depth'"),
    "type": (model("mnist", sigma="a lot"), "key 'models.mnist.sigma' is 'a lot': input should be a valid number."),
    "range": (model("mnist", sigma=0), "key 'models.mnist.sigma' is 0: input should be greater than 0."),
    "text": (model("mnist", sigma="1e-3"), "key 'models.mnist.sigma' is '1e-3': input should be a valid number."),
    "float as integer": (
        {"priors": {"mnist": {"images": 4.0}}},
        "key 'priors.mnist.images' is 4.0: input should be a valid integer.",
    ),
    "name with a slash": ({"run": "../elsewhere"}, "key 'run' is '../elsewhere': string should match pattern"),
    "method with a slash": (method("../x", title="X"), "'../x': string should match pattern"),
    "needed": (model("new", **NEW), "key 'models.new' lacks 'seed'. key 'models.new' lacks 'batch_size'."),
    "list as section": ({"models": ["mnist"]}, "0.yaml must hold names with their settings, not ['mnist']."),
    "list as model": ({"models": {"mnist": ["x"]}}, "key 'models.mnist' is ['x']: input should be"),
    "text as experiment": ({"experiments": {"deblur": "x"}}, "key 'experiments.deblur' is 'x': input should be"),
    "number as data": ({"data": {"x": 5}}, "key 'data.x': must be a name, or a mapping with a name; it is 5."),
    "data without a name": (
        {"data": {"x": {"grey": True}}},
        "key 'data.x': lacks 'name', which chooses the dataset: bsd68, bsds500,",
    ),
    "number as folder": ({"folder": 5}, "key 'folder' is 5: input should be a valid string."),
    "mapping of methods": (
        deblur(methods={"tv": {}}),
        "key 'experiments.deblur.methods' must be a list of names of methods, such as [tv], not {'tv': {}}.",
    ),
    "list as method": (
        deblur(methods=[["tv"]]),
        "key 'experiments.deblur.methods': ['tv'] must be a name, or one name with",
    ),
    "number as method": (deblur(methods=[{"tv": 5}]), "key 'experiments.deblur.methods': {'tv': 5} must be a name, or one"),
    "method twice": (deblur(methods=["tv", "tv"]), "key 'experiments.deblur.methods' lists 'tv' twice."),
    "no method": (deblur(methods=[]), "key 'experiments.deblur.methods' is {}: dictionary should have at least 1 item"),
    # names that don't exist
    "init": (
        model("laplacian_pm", init="laplacian_l1"),
        "key 'models.laplacian_pm.init' names 'laplacian_l1', which does not exist; did you mean 'laplacian_l2'?",
    ),
    "like": (
        model("mnist", like="face"),
        "key 'models.mnist.like' names 'face', which does not exist; did you mean 'faces'?",
    ),
    "list as like": (
        model("a", like=["mnist"]),
        "key 'models.a.like' names '['mnist']', which does not exist; did you mean",
    ),
    "cycle of like": (
        {"models": {"a": {"like": "b"}, "b": {"like": "a"}}},
        "key 'models.a.like': a -> b -> a is a cycle.",
    ),
    "make": ({"make": ["mnst"]}, "key 'make' names 'mnst', which does not exist; did you mean 'mnist'?"),
    "make, pattern": (
        {"make": ["part_*"]},
        "key 'make' names 'part_*', which does not exist; there are: deblur, mnist, lap",
    ),
    "make nothing": ({"make": []}, "key 'make' must list what the run makes. There are: deblur, mnist, laplacian."),
    "model of curves": (
        {"curves": {"laplacian": {"figures": {"compact": ["x"]}}}},
        "key 'curves.laplacian' names 'x', which does not exist; there are: laplacian_l2,",
    ),
    "model of a prior": (
        {"priors": {"mnist": {"model": "mnst"}}},
        "key 'priors.mnist' names 'mnst', which does not exist; did",
    ),
    "title of no model": (
        {"curves": {"laplacian": {"titles": {"mnist": "x"}}}},
        "key 'curves.laplacian.titles' names the model 'mnist', which no figure shows.",
    ),
    "method": (
        deblur(methods=["x"]),
        "key 'experiments.deblur.methods.x' names 'x', which does not exist; there are: observation",
    ),
    "like of a method": (deblur(methods=[{"x": {"like": "y"}}]), "key 'experiments.deblur.methods.x' names 'y', which does"),
    "model of a method": (
        method("lpn", prox={"model": "x"}),
        "key 'experiments.deblur.methods.lpn.prox.model' names 'x', which does not exist; there are: laplacian_l2,",
    ),
    "data of an experiment": (
        deblur(data="celebb"),
        "key 'experiments.deblur.data' names 'celebb', which does not exist; did you mean 'celeba'?",
    ),
    "data of a model": (
        model("mnist", data="mmist"),
        "key 'models.mnist.data' names 'mmist', which does not exist; did you",
    ),
    "data of tuning": (deblur(tuning={"data": "x"}), "key 'experiments.deblur.tuning.data' names 'x', which does not exist"),
    "data that need settings": (model("mnist", data="folder"), "key 'models.mnist' lacks 'path'."),
    "name of two things": (
        {"curves": {"mnist": TINY["curves"]["laplacian"]}},
        "mnist: curves, priors and experiments must have different names.",
    ),
    "table": (
        deblur(table="published"),
        "key 'experiments.deblur.table': the run has another table 'published'. Choose another",
    ),
    "title of two experiments": (
        {"experiments": {"other": {"like": "deblur"}}, "make": ["deblur", "other"]},
        "key 'experiments.other.title' is that of 'deblur', in the same table. Give it a title of its own.",
    ),
    "table of curves": (deblur(table="laplacian"), "key 'experiments.deblur.table': the run has another table 'laplacian'."),
    # files
    "source": (model("mnist", source="nowhere.pt"), "nowhere.pt, which does not exist."),
    "no source": (model("mnist", source=""), "key 'models.mnist.source' names the file "),
    "kernel": (deblur(operator={"name": "blur", "kernel": "k.npy"}), "k.npy, which does not exist."),
    "no name of a kernel": (deblur(operator={"name": "circular_blur", "kernel": "Gauss"}), "Gauss, which does not exist."),
    # trainings
    "gamma in a phase": (
        model("mnist", phases=[{"loss": "l1", "steps": 1, "lr": 1, "gamma": [1]}]),
        "key 'models.mnist.phases.0': unknown key 'gamma'; the known ones are: loss, steps, lr, final_lr.",
    ),
    "gamma of another loss": (
        model("mnist", phases=phases({"name": "l1", "gamma": [1]})),
        "phases.0.loss': unknown key 'gamma'",
    ),
    "no gamma": (model("mnist", phases=phases("proximal_matching")), "key 'models.mnist.phases.0.loss' lacks 'gamma'."),
    "steps": (
        model("mnist", phases=phases({"name": "proximal_matching", "gamma": [2, 1]})),
        "key 'models.mnist.phases.0': 1 steps can't hold the 2 stages of the loss 'proximal_matching'.",
    ),
    "pairs of a denoiser": (model("mnist", pairs=CRITIC["pairs"]), "the network 'lpn_28' is none: remove pairs."),
    "no noise level": (model("mnist", sigma=None), "key 'models.mnist': lacks 'sigma', the noise to be removed."),
    "critic without pairs": (
        {"models": {"critic": CRITIC | {"pairs": None}}},
        "key 'models.critic': the network 'ar' is a regulariser: give pairs, how images are measured.",
    ),
    "critic that is larger than its images": (
        {"models": {"critic": CRITIC | {"network": {"name": "ar", "channels": 3, "size": 129}}}},
        "key 'models.critic': patches of 129x129 don't fit into training images of 128x128.",
    ),
    "generator of parts of images": (
        {
            "models": {
                "critic": CRITIC
                | {
                    "network": {"name": "uar", "channels": 3, "size": 64},
                    "phases": [{"loss": "unrolled", "steps": 1, "lr": 1}],
                }
            }
        },
        "the network 'uar' must have the size of the training images, 128x128, not 64.",
    ),
    "operator of pairs": (
        {
            "models": {
                "critic": CRITIC
                | {"pairs": {"operator": {"name": "compressed_sensing", "measurements": 128 * 129}, "noise": 0}}
            }
        },
        "key 'models.critic': measurements must be in 1..16384",
    ),
    "init of a critic": (
        {"models": {"critic": CRITIC, "other": CRITIC | {"network": {"name": "uar", "channels": 3}, "init": "critic"}}},
        "key 'models.other.network' differs from that of 'critic', which training starts from.",
    ),
    "cycle of init": (
        model("laplacian_l2", init="laplacian_pm"),
        "key 'models.laplacian_l2.init': the models laplacian_l2 -> laplacian_pm -> laplacian_l2 form a cycle.",
    ),
    "network of init": (
        model("laplacian_pm", network={"hidden": 5}),
        "key 'models.laplacian_pm.network' differs from that of 'laplacian_l2', which training starts from.",
    ),
    "channels": (
        model("mnist", network={"channels": 3}),
        "key 'models.mnist': the network 'lpn_28' has channels 3, but the training images have 1.",
    ),
    "images for a network of numbers": (model("laplacian_l2", data="mnist"), "'lpn_scalar' takes numbers, not images"),
    "numbers for a network of images": (model("mnist", data="laplace"), "takes images (channels: 1), not numbers."),
    "no training images": (
        model("faces", data="kodak"),
        "key 'models.faces': the data 'kodak' have no training images.",
    ),
    "channels of a source": (
        model("mnist", source="https://example.org/model.pt", data="celeba"),
        "key 'models.mnist': the network 'lpn_28' takes inputs of shape (1, 28, 28), but the data 'celeba' have others.",
    ),
    "source of a network of numbers": (
        model("laplacian_l2", source="https://example.org/model.pt", data="mnist"),
        "key 'models.laplacian_l2': the network 'lpn_scalar' takes inputs of shape (1,), but the data 'mnist' have others.",
    ),
    "source of large patches": (
        model("faces", source="https://example.org/model.pt", network={"size": 256}),
        "key 'models.faces': test images of 128x128 are smaller than the inputs of the network 'lpn_patch'.",
    ),
    "patch of an LPN": (
        model("faces", patch=8),
        "key 'models.faces': patch is 8, but the network 'lpn_patch' takes sides of 16 only.",
    ),
    "no patch": (
        model("dncnn", patch=None),
        "key 'models.dncnn': the network 'dncnn' takes images of any size, so patch must",
    ),
    "odd patch": (
        model("dncnn", network={"name": "gradient_step"}, patch=9),
        "key 'models.dncnn': patch is 9; for the network 'gradient_step' it must be a multiple of 2.",
    ),
    "compile": (
        model("dncnn", network={"name": "gradient_step"}, compile=True),
        "key 'models.dncnn': torch.compile can't compile the network 'gradient_step'; set compile to false.",
    ),
    "batch size": (model("faces", crops=4), "key 'models.faces': batch_size, 2, is not a multiple of crops, 4."),
    "patch of 256 in 128": (model("dncnn", patch=256), "patches of 256x256 don't fit into training images of 128x128."),
    "LPN of 512 in 256": (
        model("faces", network={"size": 512}, data="mine") | {"data": {"mine": {"name": "folder", "path": "mine"}}},
        "key 'models.faces': patches of 512x512 don't fit into training images of 256x256.",
    ),
    "crops without choice": (
        model("mnist", crops=2),
        "key 'models.mnist': crops is 2, but the training images are as small as the patches; set it to 1.",
    ),
    # curves and priors
    "curves of images": (
        {"curves": {"laplacian": {"others": ["mnist"]}}},
        "key 'curves.laplacian' names the model 'mnist', but needs learned proximal networks of numbers.",
    ),
    "prior of numbers": (
        {"priors": {"mnist": {"others": ["laplacian_l2"]}}},
        "key 'priors.mnist' names the model 'laplacian_l2', but needs learned proximal networks of images.",
    ),
    "prior of no LPN": ({"priors": {"mnist": {"model": "dncnn"}}}, "names the model 'dncnn', but needs learned proximal"),
    "images of a prior": (
        {"priors": {"mnist": {"images": 6000}}},
        "key 'priors.mnist.images' is 6000, but 'mnist' has fewer images.",
    ),
    "rows": (
        {"priors": {"mnist": {"perturbations": {"gaussian": {"rows": [9]}}}}},
        "key 'priors.mnist.perturbations.gaussian.rows' shows image 9, but there are 4 images, counted from 0.",
    ),
    "levels": (
        {"priors": {"mnist": {"perturbations": {"gaussian": {"levels": [0.1, 0.1]}}}}},
        "key 'priors.mnist.perturbations.gaussian.levels': the values must be different.",
    ),
    "row of steps": (
        {"priors": {"mnist": {"repeated": {"rows": [4]}}}},
        "key 'priors.mnist.repeated.rows' shows image 4, but there are 4 images, counted from 0.",
    ),
    "same step twice": (
        {"priors": {"mnist": {"repeated": {"steps": [1, 1]}}}},
        "key 'priors.mnist.repeated.steps': the values must be different.",
    ),
    "empty prior": (
        {"priors": {"new": {"model": "mnist", "images": 4, "seed": 0}}},
        "key 'priors.new': perturbations or repeated must be given.",
    ),
    "others of steps alone": (
        {
            "priors": {
                "new": {"model": "mnist", "others": ["mnist"], "images": 4, "seed": 0}
                | {"repeated": TINY["priors"]["mnist"]["repeated"]}
            }
        },
        "key 'priors.new': others are compared at perturbations, and there are none.",
    ),
    "perturbation": ({"priors": {"mnist": {"perturbations": {"turn": {}}}}}, "should be 'gaussian', 'blur' or 'convex'"),
    "grid": ({"curves": {"laplacian": {"grid": {"low": 3}}}}, "key 'curves.laplacian.grid': low is 3, not below high, 2."),
    "empty figure": (
        {"curves": {"laplacian": {"figures": {"empty": []}}}},
        "key 'curves.laplacian.figures.empty' is []: list",
    ),
    # operators and images
    "kernel's keys": (
        deblur(operator={"kernl": 1}),
        "key 'experiments.deblur.operator': unknown key 'kernl'; did you mean 'ker",
    ),
    "operator's keys": (deblur(operator={"name": "identity", "sigma": 1}), "deblur.operator': unknown key 'sigma'"),
    "box without side": (
        deblur(operator={"name": "circular_blur", "kernel": "box"}),
        "deblur.operator': kernel must be gaussian",
    ),
    "circular blur without kernel": (deblur(operator={"name": "circular_blur", "sigma": 1}), "it is none with sigma."),
    "blur without kernel": (deblur(operator={"name": "blur"}), "it is none with nothing."),
    "even side": (
        deblur(operator={"name": "circular_blur", "kernel": "box", "side": 4}),
        "key 'experiments.deblur.operator': side is 4, but the side of a kernel must be odd.",
    ),
    "kernel's size": (
        deblur(operator={"name": "blur", "kernel": "box", "side": 129}),
        "key 'experiments.deblur': a blur kernel of side 129 is larger than the images, 128 x 128.",
    ),
    "grey mosaic": (
        deblur(data="set11", operator="bayer", methods=["observation"]),
        "key 'experiments.deblur': a Bayer mosaic takes colour images of even sides, not 1 channels of 256 x 256.",
    ),
    "mosaic of odd images": (deblur(data="bsds500", operator="bayer"), "of even sides, not 3 channels of 321 x 481."),
    "tomography": (deblur(data="kodak", operator="tomography"), "tomography takes square images, not 512 x 768."),
    "measurements": (
        deblur(operator={"name": "compressed_sensing", "measurements": 16385}),
        "key 'experiments.deblur': measurements must be in 1..16384 for images of 128 x 128, not 16385.",
    ),
    "shown": (deblur(shown=[7]), "key 'experiments.deblur.shown' shows image 7, but there are 3 images, counted from 0."),
    "images": (deblur(images=21), "key 'experiments.deblur.images' is 21, but 'celeba' has fewer images."),
    "numbers as images": (deblur(data="laplace"), "key 'experiments.deblur': the data 'laplace' have no test images."),
    "border": (deblur(border=61), "key 'experiments.deblur': border 61 leaves less than 7x7 pixels of images of 128x128."),
    "two sizes in a job": (
        deblur(data="set11", images=11, images_per_job=5, methods=["observation"]),
        "key 'experiments.deblur.images_per_job' is 5: images 0 to 4 have two sizes, 256x256 and another. Set it to a "
        "divisor of 4; 1 always works.",
    ),
    # methods
    "solver's keys": (
        method("dncnn", solver={"rho": 0.1}),
        "key 'methods.dncnn.solver': unknown key 'rho'; the known ones are: name, step, box.",
    ),
    "order": (
        method("lpn", solver={"order": "111"}),
        "key 'methods.lpn.solver.order' is '111': input should be '123', '132',",
    ),
    "part of a method": (
        method("x", solver="pgd"),
        "key 'methods.x': lacks prox, scale, iterations: a method needs solver,",
    ),
    "prox without sigma": (only("x", **PGD, prox="nlm"), "key 'methods.x.prox' lacks 'sigma'."),
    "both kinds of prox": (
        method("lpn", prox={"name": "tv", "model": "faces"}),
        "key 'methods.lpn.prox': unknown key 'model'; the known ones are: name, clip, weight, iterations.",
    ),
    "sigma of an LPN": (
        method("lpn", prox={"sigma": 0.5}),
        "key 'methods.lpn.prox': unknown key 'sigma'; the known ones are",
    ),
    "tuned path": (method("tv", tune={"solver.tv": [1]}), "key 'methods.tv': tune: solver.tv is no setting of the method."),
    "tuned path of the prox": (method("tv", tune={"prox.sigma": [1]}), "tune: prox.sigma is no setting of the method."),
    "tuned value": (
        method("tv", tune={"scale": [0, 1]}),
        "key 'methods.tv': tune: scale can't be 0: key 'scale' is 0: input should be greater than 0.",
    ),
    "tuned strength": (
        method("lpn", tune={"prox.strength": [2]}),
        "tune: prox.strength can't be 2: key 'strength' is 2: input",
    ),
    "tune as a list": (
        method("tv", tune=["scale"]),
        "key 'methods.tv.tune' is ['scale']: input should be a valid dictionary",
    ),
    "tune of an observation": (method("observation", tune={"solver.rho": [1]}), "key 'methods.observation': tune need"),
    "value that is tuned": (
        deblur(methods=[{"tv": {"prox": {"weight": 0.5}}}]),
        "key 'experiments.deblur.methods.tv.prox.weight' has no effect, because the method searches for it. Give 'tune' its "
        "values instead, or set 'tune' to null.",
    ),
    "title twice": (
        deblur(methods=["tv", {"lpn": {"title": "TV"}}]),
        "key 'experiments.deblur.methods.lpn.title' is that of 'tv' too. Give each method of an experiment its own title.",
    ),
    "formula of a title": (
        method("lpn", title=r"LPN $\\rho$"),
        r"key 'experiments.deblur.methods.lpn.title': Matplotlib can't draw the formula of 'LPN $\\rho$'; mend",
    ),
    "formula of a label": ({"label": "$a_$"}, "key 'label': Matplotlib can't draw the formula of '$a_$'; mend"),
    "formula of an experiment": (
        deblur(title="$\\no$"),
        "key 'experiments.deblur.title': Matplotlib can't draw the formula",
    ),
    "formula of a symbol": (
        {"priors": {"mnist": {"perturbations": {"gaussian": {"symbol": "$^$"}}}}},
        "key 'priors.mnist.perturbations.gaussian.symbol': Matplotlib can't draw the formula",
    ),
    "formula of curves": (
        {"curves": {"laplacian": {"titles": {"laplacian_pm": "$_$"}}}},
        "key 'curves.laplacian.titles.laplacian_pm': Matplotlib can't draw the formula",
    ),
    "title that legends leave out": (
        method("lpn", title="_lpn"),
        "key 'experiments.deblur.methods.lpn.title' starts with _",
    ),
    "no title": (method("lpn", title=""), "key 'experiments.deblur.methods.lpn' lacks 'title'."),
    "channels of a model": (
        method("lpn", prox={"model": "mnist"}),
        "key 'experiments.deblur.methods.lpn': the network takes inputs of shape (1, 28, 28); the images have (3, 128, 128)",
    ),
    "channels of images of unknown size": (
        {"data": {"some": {"name": "set11", "count": None}}} | deblur(data="some", methods=["lpn"]),
        "key 'experiments.deblur.methods.lpn': the network takes inputs of shape (3, 16, 16); the images have (1, ",
    ),
    "model of numbers": (method("lpn", prox={"model": "laplacian_l2"}), "the network takes inputs of shape (1); the images"),
    "strength of no LPN": (
        method("dncnn", prox={"strength": 0.5}),
        "methods.dncnn': strength is a setting of learned proximal networks, and the network is none: leave it out.",
    ),
    "precision of an LPN": (method("lpn", prox={"precision": "bf16"}), "precision is a setting of unconstrained networks"),
    "strength by count": (
        method("lpn", prox={"strength": 0.5, "average": "by_count"}),
        "key 'experiments.deblur.methods.lpn': strength is for the average uniform only; by_count is no proximal operator.",
    ),
    "tuned strength by count": (
        method("lpn", prox={"average": "by_count"}, tune={"prox.strength": [1, 0.5]}),
        "key 'experiments.deblur.methods.lpn': strength is for the average uniform only; by_count is no proximal operator.",
    ),
    "stride": (
        method("lpn", prox={"stride": 3}),
        "stride is 3, but with the average uniform it must divide the patch size 16.",
    ),
    "stride by count": (method("lpn", prox={"stride": 17, "average": "by_count"}), "at most the patch size 16."),
    "large patches": (
        model("faces", network={"size": 256}) | method("lpn", prox={"average": "by_count"}),
        "key 'experiments.deblur.methods.lpn': images of 128x128 are smaller than the patches of 256x256.",
    ),
    "odd images": (
        model("dncnn", network={"name": "gradient_step"}) | deblur(data="bsds500"),
        "the network gradient_step needs sides that are multiples of 2, and the images are 321x481.",
    ),
    "wavelet levels": (
        only("x", **PGD, prox={"name": "wavelet", "weight": 1, "levels": 10}),
        "methods.x': wavelets of 10 levels need sides that are multiples of 1024, not 128 x 128. Crop the images, or",
    ),
    "tuned wavelet levels": (
        only("x", **PGD, prox={"name": "wavelet", "weight": 1}, tune={"prox.levels": [2, 10]}),
        "methods.x': wavelets of 10 levels need sides that are multiples of 1024",
    ),
    "step of PGD": (
        deblur(operator="identity") | method("dncnn", solver={"step": 1}),
        "key 'experiments.deblur.methods.dncnn': step must be below 1 / (2 scale ||A||^2) = 1, not 1.",
    ),
    "step of PGD at a tuned scale": (
        deblur(operator="identity") | method("dncnn", solver={"step": 0.9}, tune={"scale": [0.5, 1]}),
        "key 'experiments.deblur.methods.dncnn': step must be below 1 / (2 scale ||A||^2) = 0.5, not 0.9.",
    ),
    "step of PDHG": (
        deblur(operator="bayer") | method("dncnn", solver={"name": "pdhg", "step": 1.5}),
        "key 'experiments.deblur.methods.dncnn': step must be below 1 / (dual_step ||K||^2) = 1, not 1.5.",
    ),
    # grid searches
    "no validation images": (
        deblur(data="kodak"),
        "key 'experiments.deblur.methods': 'tune' needs validation images, and 'kodak' has none. Name a data set that has "
        "some under 'experiments.deblur.tuning.data'.",
    ),
    "channels of validation images": (
        GREY | deblur(tuning={"data": "grey"}),
        "key 'experiments.deblur.tuning.data': 'grey' has other channels than 'celeba'.",
    ),
    "few validation images": (
        deblur(data="mayo", methods=["tv"], tuning={"images": 9}),
        "key 'experiments.deblur.tuning.images' is 9, but 'mayo' has fewer images.",
    ),
    "crop": (deblur(tuning={"crop": 200}), "key 'experiments.deblur.tuning.crop' is 200, more than images of 128x128 have."),
    "gradient step tuned on odd images": (
        GREY
        | model("dncnn", network={"name": "gradient_step", "channels": 1}, data="grey")
        | method("dncnn", tune={"scale": [1]})
        | deblur(data="set11", images_per_job=4, tuning={"data": "grey"}, methods=["dncnn"]),
        "methods.dncnn.tune': the network gradient_step needs sides that are multiples of 2, and the images are 321x481.",
    ),
    "by count tuned on crops": (
        model("faces", network={"size": 128})
        | method("lpn", prox={"average": "by_count"}, tune={"scale": [1]})
        | deblur(tuning={"crop": 64}),
        "key 'experiments.deblur.methods.lpn.tune': images of 64x64 are smaller than the patches of 128x128.",
    ),
    "mosaic tuned on odd crops": (
        deblur(operator="bayer", tuning={"crop": 63}),
        "key 'experiments.deblur.tuning': a Bayer mosaic takes colour images of even sides, not 3 channels of 63 x 63.",
    ),
    # plug-ins
    "plug-in": (
        method("plug_in", prox={"name": "lost.py:Median"}),
        "/lost.py of the prox 'Median' does not exist.",
    ),
    "class of a plug-in": (
        method("plug_in", prox={"name": "median.py:Mean"}),
        "/median.py has no class Mean that is a Denoiser (from lpn.denoisers import Denoiser); of that kind it has: Median.",
    ),
    "kind of a plug-in": (
        method("plug_in", solver={"name": "median.py:Median"}),
        "/median.py has no class Median that is a Solver (from lpn.solvers import Solver); of that kind it has: none.",
    ),
    "settings of a plug-in": (
        method("plug_in", prox={"size": 0}),
        "key 'methods.plug_in.prox.size' is 0: input should be greater than 0.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(checker: Checker, fault: str) -> None:
    update, sentence = FAULTS[fault]
    with pytest.raises(ConfigurationError) as error:
        checker.tiny(update)
    assert sentence in str(error.value)


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_numbers_must_be_finite(checker: Checker, value: str) -> None:
    text = json.dumps(TINY).replace('"noise": 0.05', f'"noise": {value}')
    with pytest.raises(
        ConfigurationError, match="key 'experiments.deblur.noise' is (nan|inf): input should be a finite number"
    ):
        checker.complete(text)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import torch\nimport nothing_of_this_name\n", "line 2 does not run (ModuleNotFoundError: No module named"),
        ("class Mine(:\n", "line 1 does not run (SyntaxError: "),
        ("def f():\n    return 1 / 0\n\n\nf()\n", "line 2 does not run (ZeroDivisionError: "),
    ],
)
def test_plug_ins_that_do_not_run_are_named_with_their_line(checker: Checker, code: str, sentence: str) -> None:
    (checker.folder / "broken.py").write_text(code)
    with pytest.raises(ConfigurationError) as error:
        checker.tiny(method("plug_in", prox={"name": "broken.py:Mine"}))
    assert f"/broken.py, {sentence}" in str(error.value)


def test_an_lpn_needs_test_images_to_be_certified(checker: Checker) -> None:
    (checker.folder / "some/train").mkdir(parents=True)
    some = {"data": {"some": {"name": "folder", "path": "some"}}}
    with pytest.raises(ConfigurationError, match="models.faces': the data 'some' have no test images, at which the network"):
        checker.tiny(some | model("faces", data="some"))
    checker.tiny(some | model("dncnn", data="some"))


def test_data_sets_may_be_plug_ins(checker: Checker) -> None:
    (checker.folder / "stars.py").write_text(
        "from lpn.data import DataSet\nfrom pydantic import Field\n\n\n"
        "class Stars(DataSet):\n    side: int = Field(64, description='side')\n\n"
        "    @property\n    def channels(self):\n        return 3\n\n"
        "    def sizes(self, split):\n        return [(self.side, self.side, 5)]\n"
    )
    stars = {"data": {"stars": {"name": "stars.py:Stars", "side": 32}}}
    complete = checker.tiny(stars | model("faces", data="stars") | deblur(data="stars"))
    assert complete["config"]["data"]["stars"] == {"name": f"{checker.folder}/stars.py:Stars", "side": 32}
    assert f"{checker.folder}/stars.py" in complete["files"]
    with pytest.raises(ConfigurationError, match="deblur.images' is 6, but 'stars' has fewer images"):
        checker.tiny(stars | deblur(data="stars", images=6))


def test_each_fault_of_a_shared_method_is_named_once(checker: Checker) -> None:
    other = TINY["experiments"]["deblur"] | {"table": "other"}
    with pytest.raises(ConfigurationError) as error:
        checker.tiny({"experiments": {"other": other}} | method("tv", scale=-1, iterations=0))
    assert str(error.value).count("'methods.tv.scale'") == str(error.value).count("'methods.tv.iterations'") == 1
    assert "experiments" not in str(error.value)


def test_faults_of_several_definitions_are_named_at_once(checker: Checker) -> None:
    with pytest.raises(ConfigurationError) as error:
        checker.tiny({"models": {"faces": {"patch": 8}, "mnist": {"crops": 2}}} | deblur(images=21, shown=[30]))
    keys = ("models.faces", "models.mnist", "experiments.deblur.images", "experiments.deblur.shown")
    assert all(f"key '{key}'" in str(error.value) for key in keys)


def test_folders_of_plug_ins_are_folders(checker: Checker) -> None:
    code = (checker.folder / "median.py").read_text().replace("    size:", "    path: Folder\n    size:")
    (checker.folder / "atlas.py").write_text(f"from lpn.settings import Folder\n{code}")
    (checker.folder / "atlas").mkdir()

    def complete(path: str) -> None:
        checker.tiny({"methods": {"plug_in": {"prox": {"name": "atlas.py:Median", "path": path}}}})

    complete("atlas")
    with pytest.raises(ConfigurationError, match=r"names the folder .*nowhere, which does not exist\."):
        complete("nowhere")
    with pytest.raises(ConfigurationError, match=r"names the folder .*median\.py, which is no folder\."):
        complete("median.py")


def test_each_missing_package_shows_at_once(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever needs it: an operator, a denoiser of a method, the data of a model in a file of the user's."""
    for package in ("bm3d", "astra", "nibabel"):
        monkeypatch.setitem(sys.modules, package, None)
    (checker.folder / "scans.py").write_text(SCANS)
    other = TINY["experiments"]["deblur"] | {"table": "other", "methods": ["bm3d"]}
    update = {
        "data": {"scans": "scans.py:Scans"},
        "models": {"mnist": {"data": "scans"}},
        "methods": {"bm3d": PGD | {"prox": {"name": "bm3d", "sigma": 0.1}}},
        "experiments": {"ct": TINY["experiments"]["deblur"] | {"operator": "tomography", "table": "ct"}, "other": other},
        "make": "*",
    }
    with pytest.raises(ConfigurationError) as refusal:
        checker.tiny(update)
    assert str(refusal.value) == (
        "ct: the package astra is not installed. Install it: pip install astra-toolbox (Linux on x86-64), or use the conda "
        "environment of environment.yml. other: the package bm3d is not installed. Install it: pip install --editable "
        "'.[bm3d]' (its licence: non-commercial use only). mnist: the package nibabel is not installed. Install it: pip "
        "install nibabel. To make the rest, run snakemake with --config 'make=[deblur, laplacian]'."
    )
    checker.tiny(update | {"make": ["laplacian", "deblur"]})
    with pytest.raises(ConfigurationError, match=r"ct: the package astra is not installed.*of environment.yml\.$"):
        checker.tiny(update | {"make": ["ct"]})


def test_only_what_is_used_or_new_is_checked(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    import check

    faulty = {"models": {"unused": TINY["models"]["faces"] | {"patch": 8}}}
    with pytest.raises(ConfigurationError, match="models.unused"):
        checker.tiny(faulty)
    library = checker.folder / "library"
    library.mkdir()
    (library / "a.yaml").write_text(json.dumps(faulty))
    monkeypatch.setattr("configuration.LIBRARY", library)
    monkeypatch.setenv("LPN_DATA", "data")
    check.complete(checker.files(TINY), {})


DIGITS = {"data": "mnist", "tuning": {"images": 1}, "methods": ["observation", "tv", {"lpn": {"prox": {"model": "mnist"}}}]}
GREY_DNCNN = model("dncnn", network={"channels": 1}, data="mnist")
ACCEPTED = {
    "nothing changed": {},
    "one name to make": {"make": "mnist"},
    "how often losses are logged": model("laplacian_l2", logging={"every": 7}),
    "a network from a source": model("new", **NEW, source="https://example.org/model.pt"),
    "a source in the place of a schedule": model("mnist", source="drive:abc/model.pt"),
    "no source after all": model("mnist", source=None),
    "LPN of digits, deblurring": deblur(**DIGITS),
    "LPN of digits, compressed sensing": deblur(**DIGITS, operator={"name": "compressed_sensing", "measurements": 100}),
    "LPN of digits, tomography": deblur(**DIGITS, operator="tomography"),
    "LPN of digits on larger images": deblur(data="mayo", methods=[{"lpn": {"prox": {"model": "mnist"}}}]),
    "DnCNN of digits": GREY_DNCNN | deblur(**DIGITS | {"methods": ["dncnn"]}),
    "photographs of a folder": {"data": {"mine": {"name": "folder", "path": "photographs", "side": 64}}}
    | {"models": {"faces": {"data": "mine"}, "dncnn": {"data": "mine"}}}
    | deblur(data="mine"),
    "images of unknown sizes": {"data": {"some": {"name": "kodak", "count": None}}}
    | deblur(data="some", tuning={"data": "celeba"}),
    "two sizes in two jobs": deblur(data="set11", images_per_job=4, images=11, methods=["observation"]),
    "crops of odd images": GREY
    | model("dncnn", network={"name": "gradient_step", "channels": 1}, data="grey")
    | method("dncnn", tune={"scale": [1]})
    | deblur(data="set11", images_per_job=4, tuning={"data": "grey", "crop": 64}, methods=["dncnn"]),
    "a step below its bound": deblur(operator="identity") | method("dncnn", solver={"step": 0.99}),
    "a step whose bound is not known": method("dncnn", solver={"step": 5}),
    "a prior at the centres of larger images": {"priors": {"faces": TINY["priors"]["mnist"] | {"model": "faces"}}},
    "a kernel that may be placed later": deblur(operator={"name": "blur", "kernel": "$LPN_DATA/kernels/k.npy"}),
    "a table of curves that the run does not make": deblur(table="laplacian") | {"make": ["deblur"]},
}


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_accepted(checker: Checker, accepted: str) -> None:
    checker.tiny(ACCEPTED[accepted])


def test_a_kernel_that_exists_is_accepted(checker: Checker) -> None:
    np.save(checker.folder / "there.npy", np.ones((3, 3)) / 9)
    complete = checker.tiny(deblur(operator={"name": "circular_blur", "kernel": "there.npy"}))
    assert complete["files"] == [str(checker.folder / name) for name in ("median.py", "there.npy")]


def test_used_are_the_models_and_data_that_the_run_needs(checker: Checker) -> None:
    start = TINY["models"]["laplacian_l2"]
    more = {"unused": start, "first": start, "second": start | {"init": "first"}, "laplacian_l2": {"init": "second"}}
    config = checker.tiny({"models": more, "make": ["laplacian"]})["config"]
    assert set(config["models"]) == {"laplacian_l2", "laplacian_pm", "first", "second"}
    assert set(config["data"]) == {"laplace"}
    assert not config["priors"] | config["experiments"] | config["methods"]
    config = checker.tiny({"make": ["deblur"]} | deblur(tuning={"data": "photographs"}, methods=["tv"]))["config"]
    assert set(config["data"]) == {"celeba", "photographs"}
    assert not config["models"] | config["curves"]
    assert set(checker.tiny(deblur(tuning={"data": "kodak"}, methods=["observation"]))["config"]["data"]) == {
        *("celeba", "laplace", "mnist")
    }
