"""Files and folders here or in a bucket: gs://, s3://, az:// and hf://.

Buckets are read through `etils.epath`, which comes with tensorflow-datasets; it needs
TensorFlow or the package of fsspec for that kind of bucket, such as gcsfs.
"""

import contextlib
import glob as local_glob
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

SCHEMES = ("gs://", "s3://", "az://", "hf://")
_PACKAGES = (
    "gcsfs for gs://, s3fs for s3://, adlfs for az://, huggingface_hub for hf://"
)


def plain(path: str) -> str:
    """A path as it is used: "~" spelled out, file:// taken off; addresses stay.

    Raises:
        FileNotFoundError: for an address of a kind that is not read.
    """
    if re.match("file://(localhost)?/", path):
        return re.sub("^file://(localhost)?", "", path)
    if "://" in path and not remote(path):
        kinds = ", ".join((*SCHEMES, "file://"))
        raise FileNotFoundError(
            f"{path!r} is an address of a kind that is not read; those read are {kinds}"
            "."
        )
    return path if remote(path) else os.path.expanduser(path)


def remote(path: str) -> bool:
    """Whether it is an address in a bucket."""
    return path.startswith(SCHEMES)


def is_folder(path: str) -> bool:
    """Whether there is such a folder, here or in a bucket.

    Raises:
        ValueError: if a bucket cannot be reached, saying what may be missing.
    """
    if not remote(path):
        return os.path.isdir(path)
    with _reaching(path):
        return _epath(path).is_dir()


def is_file(path: str) -> bool:
    """Whether there is such a file; raises as `is_folder` does."""
    if not remote(path):
        return os.path.isfile(path)
    with _reaching(path):
        place = _epath(path)
        return place.exists() and not place.is_dir()


def names_in(path: str) -> list[str]:
    """The names in a folder, sorted."""
    if not remote(path):
        return sorted(os.listdir(path))
    with _reaching(path):
        return sorted(each.name for each in _epath(path).iterdir())


def matching(pattern: str) -> list[str]:
    """The files that match a pattern with *, ? or [], sorted."""
    if not remote(pattern):
        return sorted(filter(os.path.isfile, local_glob.glob(pattern)))
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    with _reaching(pattern):
        found = _epath(fixed).glob(pattern[len(fixed) + 1 :])
        return sorted(map(os.fspath, found))


def files_below(path: str) -> Iterator[str]:
    """All files of a bucket's folder at any depth, relative to it, in any order."""

    def fail(error: OSError) -> None:
        raise error

    start = _bare(path)
    with _reaching(path):
        for root, _, files in _epath(path).walk(on_error=fail):
            inner = _bare(os.fspath(root))[len(start) :].strip("/")
            for name in files:
                yield f"{inner}/{name}" if inner else name


def mark_of(path: str) -> tuple[int, int]:
    """Size and time of the last change, which tell whether a file is still the same.

    The time is 0 where a bucket does not say it.

    Raises:
        OSError: if it is not there.
    """
    if not remote(path):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    with _reaching(path):
        stat = _epath(path).stat()
        return int(stat.length), int(stat.mtime)


@contextlib.contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Opens a file to be read from its beginning on, with a few steps forward."""
    with contextlib.ExitStack() as stack:
        with _reaching(path):
            file = stack.enter_context(_epath(path).open("rb"))
        yield file


def whole(path: str) -> bytes:
    """All bytes of a file in a bucket."""
    with reading(path) as file, _reaching(path):
        return file.read()


def part_of(path: str, offset: int, size: int) -> bytes:
    """Some bytes of a file, here or in a bucket, and nothing around them.

    Raises:
        OSError: if it ends before them, or cannot be read.
    """
    if remote(path):
        with reading(path) as file, _reaching(path):
            bucket: Any = getattr(file, "fs", None)
            if bucket is None:  # TensorFlow's, which reads no more than it is asked.
                file.seek(offset)
                data = file.read(size)
            else:  # The file would read some MiB ahead.
                name = getattr(file, "path", path)
                data = bucket.cat_file(name, start=offset, end=offset + size)
    else:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(size)
    if len(data) != size:
        raise OSError(f"only {len(data)} of {size} bytes could be read")
    return data


def _bare(address: str) -> str:
    return address.rpartition("://")[2].strip("/")


def _epath(path: str) -> Any:
    from etils import epath

    return epath.Path(path)


@contextlib.contextmanager
def _reaching(path: str) -> Iterator[None]:
    """Says what is wrong with a bucket.

    Raises:
        OSError: as the file system raises it.
        ValueError: if a package is missing, or for any other fault.
    """
    try:
        yield
    except (OSError, ValueError, MemoryError):
        raise
    except ImportError as error:
        raise ValueError(
            f"{path!r} cannot be reached without a package that is missing ({error}): "
            f"pip install {_PACKAGES}. Or mount the bucket (gcsfuse) and name the "
            "folder that it is mounted at."
        ) from error
    except Exception as error:  # Each kind of bucket has errors of its own.
        raise ValueError(
            f"{path!r} cannot be reached: {type(error).__name__}: {error}"
        ) from error
