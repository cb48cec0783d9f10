"""Reading speed of each source: records a second and a CPU-second, and peak memory, on logs made here.

    python bench/ingest.py [RECORDS]

Each measurement runs in a process of its own (peak memory), three times; the median is printed. The floor is what
Arrow needs to decompress and find the line ends, or to decode the Parquet columns, without looking at the content.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.registry import extensions
from spiritsafe.sources import read
from spiritsafe.sources._lines import lines
from spiritsafe.sources._rows import rows

WORDS = ["".join(random.Random(seed).choices("aeioubcdfglmnprst", k=2 + seed % 8)) for seed in range(4000)]
RUNS = 3


def text(dice: random.Random, words: int) -> str:
    """So many words at random."""
    return " ".join(dice.choices(WORDS, k=words))


def canonical(number: int, dice: random.Random) -> dict[str, Any]:
    """A canonical record of about 700 bytes."""
    return {
        "time": f"2026-03-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.123Z",
        "exchange_id": f"x{number}", "account_id": f"a{number % 997}", "client_ip": f"192.0.2.{number % 255}",
        "model": "m-large", "operation": "chat", "prompt": text(dice, 70) + ' "\u00e9"\n', "turns": 1,
        "temperature": 0.7, "max_tokens": 1000, "response": text(dice, 8), "input_tokens": 100, "output_tokens": 40,
        "status": 200, "finish_reason": "stop",
    }  # fmt: skip


def longer(example: dict[str, Any], number: int, dice: random.Random) -> str:
    """A line made of an example: its question drawn out to 70 words, its span ids its own."""
    line = json.dumps(example)
    for question in ("Second", "Solve it", "Weather?", "Hi", "Q", "Ask", "just text", "Say hi", "Only text"):
        for quote in ('"', '\\"'):
            line = line.replace(f"{quote}{question}{quote}", quote + text(dice, 70) + quote)
    return re.sub(r'"(t|s)[123]"', rf'"\g<1>{number}"', line)


def make(folder: Path, count: int) -> dict[str, tuple[str, Path]]:
    """The logs: name -> (format, file)."""
    dice = random.Random(7)
    made: dict[str, tuple[str, Path]] = {}
    plain = "".join(json.dumps(canonical(number, dice)) + "\n" for number in range(count)).encode()
    for ending, pack in (("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)):
        path = folder / f"canonical.jsonl{ending}"
        path.write_bytes(pack(plain))
        made[path.name] = ("canonical_jsonl", path)
    table = pa.Table.from_pylist([json.loads(line) for line in plain.splitlines()])
    pq.write_table(table, folder / "canonical.parquet", compression="zstd")
    made["canonical.parquet"] = ("canonical_parquet", folder / "canonical.parquet")
    for name, source in extensions("sources").items():
        if name.startswith("canonical"):
            continue
        examples = [record for record, _ in source.module.EXAMPLES]
        path = folder / f"{name}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(count // 4):
                file.write(longer(examples[number % len(examples)], number, dice) + "\n")
        made[path.name] = (name, path)
    return made


def measure(format: str, path: str, work: str) -> dict[str, float]:
    """Read one log; in a process of its own."""
    wall, cpu = time.perf_counter(), time.process_time()
    if format == "floor":
        if path.endswith(".parquet"):
            count = sum(batch.num_rows for _, batch, _ in rows(path, 65_536))
        else:
            count = sum(len(piece.raw) for piece in lines(path, 65_536))
    else:
        with DuckDB(Path(work), memory="2GB", threads=2) as engine:
            reading = read([path], format=format, engine=engine, rejects=Path(work, "rejected.jsonl"))
            count = sum(batch.num_rows for batch in reading)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # Not getrusage: its peak is inherited from the process that started this one.
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("utf-8"))[0]) / 1024
    return {"records": count, "wall": count / wall, "cpu": count / cpu, "peak": peak}


def median(format: str, path: Path, work: Path) -> dict[str, float]:
    """Medians of ``RUNS`` runs."""
    command = [sys.executable, __file__, "--one", format, str(path), str(work)]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(RUNS)]
    return {key: statistics.median(run[key] for run in found) for key in found[0]}


def main(count: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(
            "| log | bytes a record | records/s | records/CPU-s | of the floor | peak MB |\n|---|---|---|---|---|---|"
        )
        for log, (source, path) in make(folder, count).items():
            seen, floor = median(source, path, folder), median("floor", path, folder)
            print(
                f"| {log} | {path.stat().st_size / seen['records']:,.0f} | {seen['wall']:,.0f} | {seen['cpu']:,.0f} "
                f"| {seen['cpu'] / floor['cpu']:.2f} | {seen['peak']:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:5])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
