"""Record batches to files: Parquet or compressed JSON Lines, and the truth, while the next batch is being made."""

from __future__ import annotations

import gzip
import queue
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq
import zstandard

from spiritsafe.simulate import _json
from spiritsafe.simulate._pages import LOG, TRUTH, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import pyarrow as pa

    from spiritsafe.simulate._sheet import Sheet

Format = Literal["parquet", "jsonl.gz", "jsonl.zst"]
ONCE = ("time", "exchange_id", "session_id", "reasoning_issued", "reasoning_redeemed", "tools")
"""Columns whose values hardly recur: a dictionary of them would be waste."""
DICTIONARY = 32 << 20
"""Bytes that a column's dictionary may take: more than the text of a batch, so that prompts that recur are kept once."""
WAITING = 2
GZIP, ZSTD = 3, 1


def write(
    sheet: Sheet, folder: Path, form: Format, dropped: tuple[str, ...], progress: Callable[[int], None]
) -> tuple[Path, Path]:
    """Write ``folder/log.<form>`` and ``folder/truth.parquet``; same sheet, same bytes."""
    log, truth = folder / f"log.{form}", folder / "truth.parquet"
    kept = [name for name in LOG.names if name not in dropped]
    lines = form != "parquet"
    with ExitStack() as stack:
        note = stack.enter_context(_parquet(truth, TRUTH.names))
        opened = _lines(log, form, kept) if lines else _parquet(log, kept)
        record = stack.enter_context(opened)

        def both(pair: tuple[Any, Any]) -> None:
            record(pair[0])
            note(pair[1])
            progress(pair[1].num_rows)

        send = stack.enter_context(behind(both))
        for pair in batches(sheet, _json.escaped(sheet.strings.stock) if lines else None):
            send(pair)
    return log, truth


@contextmanager
def behind(work: Callable[[Any], None]) -> Generator[Callable[[Any], None]]:
    """A function that hands items to ``work`` in another thread, in order; an error there comes up here."""
    waiting: queue.Queue[Any] = queue.Queue(WAITING)
    failed: list[BaseException] = []

    def run() -> None:
        while (item := waiting.get()) is not None:
            if not failed:
                try:
                    work(item)
                except BaseException as error:  # noqa: BLE001 - it is raised again in the other thread
                    failed.append(error)

    def send(item: Any) -> None:
        if failed:
            raise failed[0]
        waiting.put(item)

    thread = threading.Thread(target=run, name="writer", daemon=True)
    thread.start()
    try:
        yield send
    finally:
        waiting.put(None)
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _parquet(path: Path, kept: list[str]) -> Generator[Callable[[pa.RecordBatch], None]]:
    schema = LOG if path.name.startswith("log") else TRUTH
    fields = pq.ParquetWriter(
        path,
        schema.empty_table().select(kept).schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in kept if name not in ONCE],
        dictionary_pagesize_limit=DICTIONARY,
        write_statistics=False,
        store_schema=False,  # readers see plain strings, not our dictionaries
    )
    with fields as writer:
        yield lambda batch: writer.write_batch(batch.select(kept))


@contextmanager
def _lines(path: Path, form: Format, kept: list[str]) -> Generator[Callable[[pa.RecordBatch], None]]:
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("wb"))
        out: Any = (
            gzip.GzipFile("", "wb", GZIP, raw, mtime=0)
            if form == "jsonl.gz"
            else zstandard.ZstdCompressor(level=ZSTD).stream_writer(raw, closefd=False)
        )
        with out:
            yield lambda batch: out.write(_json.lines(batch, kept))
