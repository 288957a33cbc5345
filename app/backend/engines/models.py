"""Turn the name of a model into weights that can be loaded: `resolve_model`.

A name is `package:DIST` (weights that came with a Python package), a folder, or a hub name.
Invariant: what is returned never runs code of its own and never unpickles: safetensors only, no `auto_map`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from app.backend.errors import BadInput, Unavailable

log = logging.getLogger(__name__)

PACKAGE = "package:"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_CONVERSION_GROWTH = 8
"""A 4-bit GGUF becomes about four times its size in 16 bits; twice that leaves room."""


def resolve_model(ref: str, cache_dir: Path, on_progress: Callable[[str], None]) -> Path | str:
    """The folder that holds the weights, or the hub name when they are yet to be fetched.

    A GGUF inside a package is converted once, into `cache_dir`, in a child process (20 s; it imports torch). Blocks.
    Raises BadInput when `ref` names no usable model, Unavailable when the conversion fails.
    """
    folder = prepared_folder(ref, cache_dir)
    if folder is not None:
        return folder
    if not ref.startswith(PACKAGE):
        return ref
    target = _converted(ref, cache_dir)
    _convert(min(_package_folder(ref).glob("*.gguf")), target, ref, on_progress)
    return target


def prepared_folder(ref: str, cache_dir: Path) -> Path | None:
    """The folder of `ref` if it can be loaded as it is, None if it must be converted or fetched first. Or BadInput."""
    if not ref.startswith(PACKAGE):
        return _checked(Path(ref).expanduser().absolute(), ref) if _looks_local(ref) else _hub_snapshot(ref)
    folder = _package_folder(ref)
    if not any(folder.glob("*.gguf")):
        return _checked(folder, ref)
    target = _converted(ref, cache_dir)
    return target if (target / "config.json").is_file() else None


def display_name(ref: str) -> str:
    """What people call the model: the last part of its name, or that of the weights inside a package."""
    if ref.startswith(PACKAGE):
        with suppress(BadInput):
            for gguf in _package_folder(ref).glob("*.gguf"):
                return gguf.stem.partition(".")[0]
    return ref.removeprefix(PACKAGE).rstrip("/").rsplit("/", 1)[-1]


def _converted(ref: str, cache_dir: Path) -> Path:
    name = ref.removeprefix(PACKAGE)
    return cache_dir / f"{name}-{importlib.metadata.version(name)}"


def check_refs(refs: Iterable[str]) -> None:
    """Raise BadInput at once, without preparing anything, when one of them can't be a usable model.

    When all are local the hub client is told to stay offline, which works only before it is imported.
    """
    refs = list(refs)
    for ref in refs:
        _check(ref)
    if all(ref.startswith(PACKAGE) or _looks_local(ref) for ref in refs):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _check(ref: str) -> None:
    if ref.startswith(PACKAGE):
        _package_folder(ref)
    elif _looks_local(ref):
        _checked(Path(ref).expanduser().absolute(), ref)
    elif not _HUB_NAME.fullmatch(ref):
        raise BadInput(f"{ref!r} is no model; give a hub name such as Qwen/Qwen3-4B-Instruct-2507 or a folder.")


def _looks_local(ref: str) -> bool:
    return ref.startswith(("/", ".", "~")) or Path(ref).is_dir()


def _package_folder(ref: str) -> Path:
    """The folder with the weights inside an installed package, found without importing it."""
    name = ref.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(name.replace("-", "_")) if re.fullmatch(r"[\w-]+", name) else None
    roots = spec.submodule_search_locations if spec is not None else None
    for root in map(Path, roots or ()):
        for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
            if (folder / "config.json").is_file() or any(folder.glob("*.gguf")):
                return folder
    raise BadInput(f"The package {name!r} with model weights is not installed; run `python launch.py` to install it.")


def _checked(folder: Path, ref: str) -> Path:
    """`folder`, if it holds a model that is safe to load. Messages name the model as the user did."""
    if not folder.is_dir():
        raise BadInput(f"The model folder {ref} does not exist; give an existing folder or a hub name.")
    if not (folder / "config.json").is_file():
        raise BadInput(f"The folder {ref} is no model: it has no config.json.")
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _read_config(folder / name, ref):
            raise BadInput(
                f"The model {ref} brings its own code (auto_map in {name}), which is never run; use another."
            )
    if not _has_weights(folder):
        raise BadInput(f"The model {ref} has no complete safetensors weights; convert or fetch it in that format.")
    return folder


def _read_config(path: Path, ref: str) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"The model {ref} is damaged: {path.name} is not valid JSON.") from error
    if not isinstance(config, dict):
        raise BadInput(f"The model {ref} is damaged: {path.name} is not a JSON object.")
    return config


def _has_weights(folder: Path) -> bool:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = json.loads(index.read_bytes())["weight_map"].values()
        return all((folder / shard).is_file() for shard in set(shards))
    return any(folder.glob("*.safetensors"))


def _hub_snapshot(ref: str) -> Path | None:
    """The local copy of a hub model, if it is complete: then nothing needs the network."""
    _check(ref)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(ref, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    if not (folder / "config.json").is_file() or not _has_weights(folder):
        return None
    return _checked(folder, ref)


def _convert(gguf: Path, target: Path, ref: str, on_progress: Callable[[str], None]) -> None:
    """Write `target` from `gguf`: all of it or nothing, also when two processes do it at once."""
    name = ref.removeprefix(PACKAGE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        needed = gguf.stat().st_size * _CONVERSION_GROWTH
        if shutil.disk_usage(target.parent).free < needed:
            raise BadInput(
                f"Preparing {name} needs {needed / 2**30:.1f} GiB of free disk in the data folder; make room."
            )
        work = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise BadInput(f"The data folder cannot be written ({error.strerror}); choose another with --data.") from error
    try:
        on_progress(f"Preparing {name}: once, about 20 s")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", __name__, str(gguf), str(work)]
        root = Path(__file__).parents[3]
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            log.error("converting %s failed: %s", gguf.name, done.stderr)
            raise Unavailable(f"The model {name} could not be prepared, for lack of memory or disk or as the log says.")
        try:
            work.rename(target)
        except OSError:
            if not (target / "config.json").is_file():
                raise
        on_progress(f"{name} is prepared")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert_here(gguf: Path, target: Path) -> None:
    """vLLM loads no GGUF: undo the quantisation and save bf16 safetensors and the tokenizer with its chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


if __name__ == "__main__":
    _convert_here(Path(sys.argv[1]), Path(sys.argv[2]))
