"""Saving and loading a fitted recommender: arrays as .npy files, settings in recommender.json, the ranker as ranker.cbm; no pickle.

Models and feature groups whose fitted form is Storable are stored. The others are fitted again to the stored train set when the recommender
is loaded, which gives the same answers because fitting is deterministic.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Catalog, Repeats, TrainSet
from musicrec.errors import ArtifactError, RankingError
from musicrec.features import FEATURES
from musicrec.files import writable
from musicrec.models import MODELS, Storable
from musicrec.ranking import Constraints, load_ranker

if TYPE_CHECKING:
    from musicrec.recommender.two_stage import TwoStageRecommender

FORMAT = 1
DESCRIPTION, RANKER = "recommender.json", "ranker.cbm"


def save(recommender: "TwoStageRecommender", folder: Path) -> None:
    """See TwoStageRecommender.save."""
    state = recommender.fitted
    with _replaced(folder) as partial:
        description = {
            "format": FORMAT, "order": recommender.order, "candidates_per_model": recommender.candidates_per_model,
            "max_candidates": recommender.max_candidates, "constraints": dataclasses.asdict(recommender.constraints),
            "ranker": recommender.ranker is not None, "train": _save_arrays(partial, "train", _arrays_of(state.train)),
            "cutoff": state.train.cutoff,
            "models": _save_components(partial, "models", recommender.models, state.models, MODELS),
            "baselines": _save_components(partial, "baselines", recommender.baselines, state.models, MODELS),
            "features": _save_components(partial, "features", recommender.features, state.features, FEATURES)}
        if recommender.ranker is not None:
            recommender.ranker.save(partial / RANKER)
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> "TwoStageRecommender":
    """See TwoStageRecommender.load."""
    from musicrec.recommender.two_stage import Fitted, TwoStageRecommender

    try:
        stored = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ArtifactError(f"{folder} holds a recommender of format {stored['format']}, not {FORMAT}; train it again.")
        train = _train_set(_load_arrays(folder, stored["train"]), stored["cutoff"])
        models, fitted_models = _load_components(folder, stored["models"], train, MODELS)
        baselines, fitted_baselines = _load_components(folder, stored["baselines"], train, MODELS)
        features, fitted_features = _load_components(folder, stored["features"], train, FEATURES)
        ranker = load_ranker(folder / RANKER) if stored["ranker"] else None
        return TwoStageRecommender(models, features, baselines, ranker, Constraints(**stored["constraints"]), stored["order"],
                                   stored["candidates_per_model"], stored["max_candidates"],
                                   Fitted(train, {**fitted_baselines, **fitted_models}, fitted_features))
    except (OSError, ValueError, LookupError, TypeError, EOFError, AttributeError) as cause:
        raise ArtifactError(f"{folder} holds no readable recommender ({type(cause).__name__}: {cause}); train it again.") from cause


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which is renamed to it when the block ends without an error; else an earlier folder stays."""
    partial, earlier = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("part", "earlier"))
    try:
        with writable(folder):
            for leftover in (partial, earlier):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            if folder.exists():
                folder.rename(earlier)
            partial.rename(folder)
    finally:
        if earlier.exists() and not folder.exists():
            earlier.rename(folder)
        for leftover in (partial, earlier):
            shutil.rmtree(leftover, ignore_errors=True)


def _arrays_of(train: TrainSet) -> dict[str, NDArray[Any] | sparse.csr_matrix]:
    links = {"genres": train.catalog.genres, "artists": train.catalog.artists, "albums": train.catalog.albums}
    repeats = {f"repeats_{name}": getattr(train.repeats, name) for name in ("pairs", "starts", "times")}
    optional = {"added_at": train.catalog.added_at, "strength": train.strength}
    return {"user_ids": train.user_ids, "item_ids": train.item_ids, "matrix": train.matrix, "last_played": train.last_played,
            **repeats, **links, **{name: array for name, array in optional.items() if array is not None}}


def _train_set(arrays: Mapping[str, Any], cutoff: int) -> TrainSet:
    catalog = Catalog(arrays["item_ids"], arrays["genres"], arrays["artists"], arrays["albums"], arrays.get("added_at"))
    if arrays["matrix"].shape != (len(arrays["user_ids"]), len(catalog)) or len(arrays["last_played"]) != arrays["matrix"].nnz:
        raise ValueError("its arrays do not belong together")
    repeats = Repeats(*(arrays[f"repeats_{name}"] for name in ("pairs", "starts", "times")))
    return TrainSet(arrays["user_ids"], arrays["matrix"], arrays["last_played"], repeats, arrays.get("strength"), catalog=catalog,
                    cutoff=cutoff)


def _save_components(folder: Path, kind: str, settings: Mapping[str, Any], fitted: Mapping[str, Any],
                     registry: Mapping[str, type]) -> dict[str, Any]:
    names = {component: name for name, component in registry.items()}
    described: dict[str, Any] = {}
    for name, component in settings.items():
        if type(component) not in names:
            raise RankingError(f"{name} is of {type(component).__name__}, which is in no registry and could not be loaded again; add it to "
                               f"musicrec.{'features' if kind == 'features' else 'models'}.")
        one = fitted[name]
        stored = type(one) is _storable(type(component))
        described[name] = {"kind": names[type(component)], "settings": dataclasses.asdict(component),
                           "arrays": _save_arrays(folder, f"{kind}.{name}", one.arrays()) if stored else None}
    return described


def _load_components(folder: Path, described: Mapping[str, Any], train: TrainSet,
                     registry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    settings, fitted = {}, {}
    for name, one in described.items():
        component = registry[one["kind"]](**one["settings"])
        settings[name], storable = component, _storable(type(component))
        fitted[name] = component.fit(train) if one["arrays"] is None or storable is None else \
            storable.restored(train, component, _load_arrays(folder, one["arrays"]))
    return settings, fitted


def _storable(component: type) -> Any:
    """The class that `fit` of a model or feature group is annotated to return, where it is Storable, else None."""
    returned = get_type_hints(component.fit).get("return")  # type: ignore[attr-defined]  # every component of a registry has fit
    return returned if isinstance(returned, type) and issubclass(returned, Storable) else None


def _save_arrays(folder: Path, prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, array in arrays.items():
        if isinstance(array, sparse.csr_matrix):
            parts = {part: _save_array(folder, f"{prefix}.{name}.{part}", getattr(array, part)) for part in ("indptr", "indices", "data")}
            described[name] = {"shape": list(array.shape), **parts}
        else:
            described[name] = _save_array(folder, f"{prefix}.{name}", array)
    return described


def _save_array(folder: Path, name: str, array: NDArray[Any]) -> Any:
    # Logs without repeats have the weight 1 everywhere, which needs no file.
    if array.ndim == 1 and len(array) > 1 and array[0] != 0 and (array == array[0]).all():
        return {"constant": array[0].item(), "dtype": array.dtype.str, "length": len(array)}
    np.save(folder / f"{name}.npy", array, allow_pickle=False)
    return f"{name}.npy"


def _load_arrays(folder: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _load_csr(folder, one) if isinstance(one, dict) and "shape" in one else _load_array(folder, one)
            for name, one in described.items()}


def _load_csr(folder: Path, described: Mapping[str, Any]) -> sparse.csr_matrix:
    data, indices, indptr = (_load_array(folder, described[part]) for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix((data, indices, indptr), shape=tuple(described["shape"]), copy=False)


def _load_array(folder: Path, described: Any) -> NDArray[Any]:
    if isinstance(described, dict):
        return np.full(described["length"], described["constant"], np.dtype(described["dtype"]))
    # Copy-on-write pages are shared between processes, and numba sees a writable array as in the process that fitted.
    return np.asarray(np.load(folder / described, mmap_mode="c", allow_pickle=False))
