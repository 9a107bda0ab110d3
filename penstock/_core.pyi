"""The extension module: workers and templates (src/py)."""

from collections.abc import Callable, Iterator, Mapping

class FileWrapper:
    """wsgi.file_wrapper: the blocks of a file, sent by sendfile where it is a real one (PEP 3333)."""

    def __new__(cls, filelike: object, block_size: int = 8192) -> FileWrapper: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> object: ...

def serve(
    role: str,
    load: Callable[[Mapping[str, object]], object],
    look: Callable[[frozenset[tuple[int, str]] | None], object],
    /,
) -> int:
    """Live as a worker or template on the channel of descriptor 3; return the exit status."""
