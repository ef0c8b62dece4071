"""``python -m tests.fuzz.seeds``: small sound files of every kind, which a fuzzer starts from."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np

import fastcal as fc

from .targets import STATES, TARGETS

CORPUS = Path(__file__).parent / "corpus"
LOGITS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def arrow_tables() -> list:
    import pyarrow as pa

    lists = pa.array(LOGITS.tolist(), pa.list_(pa.float32()))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(LOGITS.ravel()), 3)
    text = pa.array(["a", "b", "c"] * 2).dictionary_encode()
    columns = {f"logits_{k}": LOGITS[:, k] for k in range(3)}
    return [
        pa.table({"logits": lists, "labels": LABELS}),
        pa.table({"logits": fixed, "labels": LABELS.astype(np.int8), "text": text}),
        pa.table({**columns, "labels": pa.array([0, 1, 2, 0, 1, 2]).dictionary_encode()}),
    ]


def seeds() -> dict[str, list[bytes]]:
    """Files by target."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, list[bytes]] = {name: [] for name in TARGETS}

    def kept(name: str, write) -> None:
        buffer = io.BytesIO()
        write(buffer)
        found[name].append(buffer.getvalue())

    for array in (LOGITS, LOGITS.astype(np.float64), np.asfortranarray(LOGITS), LABELS):
        kept("npy", lambda file, array=array: np.save(file, array))
    kept("npz", lambda file: np.savez(file, logits=LOGITS, labels=LABELS))
    kept("npz", lambda file: np.savez_compressed(file, probs=np.full((6, 3), 1 / 3), label=LABELS))
    for table in arrow_tables():
        for compression in ("none", "snappy", "zstd"):
            kept("parquet", lambda file, t=table, c=compression: pq.write_table(t, file, compression=c))
        for name, opened in (("arrow", pa.ipc.new_file), ("arrows", pa.ipc.new_stream)):
            for codec in (None, "zstd"):
                options = pa.ipc.IpcWriteOptions(compression=codec)

                def write(file, opened=opened, table=table, options=options):
                    with opened(file, table.schema, options=options) as writer:
                        writer.write_table(table)

                kept(name, write)
    rows = [",".join(map(str, row)) + f",{y}" for row, y in zip(LOGITS.tolist(), LABELS, strict=True)]
    text = "\n".join(["logits_0,logits_1,logits_2,labels", *rows]) + "\n"
    found["csv"] += [text.encode(), text.replace("\n", "\r\n").encode("utf-8-sig"), b'probs,label\n"0.5",1\n']
    found["tsv"] += [text.replace(",", "\t").encode()]
    found["csv-gz"] += [gzip.compress(text.encode(), mtime=0)]
    records = [{"logits": row, "labels": int(y)} for row, y in zip(LOGITS.tolist(), LABELS, strict=True)]
    found["jsonl"] += ["\n".join(map(json.dumps, records)).encode(), b'{"probs": ["0.5", 0.5], "label": 1}\n']
    found["lm-eval"] += ["\n".join(map(json.dumps, samples())).encode()]
    found["safetensors"] += [safetensors()]
    calibrators = Path(__file__).parents[1] / "calibrators"
    found["calibrator"] += [path.read_bytes() for path in sorted(calibrators.glob("*.json"))[:6]]
    for name in STATES:
        found["state"].append(getattr(fc, name)().to_bytes())
    found["state"].append(fc.SelectiveAccumulator(from_logits=True).update(LABELS, LOGITS).to_bytes())
    small = fc.Evaluation(n_bins=2, from_logits=True, parts=["scores", "reliability", "classwise"])
    found["state"].append(small.update(LABELS, LOGITS).to_bytes())
    found["state"].append(fc.ReliabilityAccumulator(n_bins=3, from_logits=True).update(LABELS, LOGITS).to_bytes())
    return found


def samples() -> list[dict]:
    """Rows as lm-evaluation-harness writes them."""
    return [
        {
            "doc_id": number,
            "doc": {"question": "?", "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}},
            "target": str(int(LABELS[number])),
            "resps": [[[str(score), "False"]] for score in LOGITS[number]],
            "filtered_resps": [[str(score), "False"] for score in LOGITS[number]],
            "filter": "none",
            "acc": 1.0,
        }
        for number in range(6)
    ]


def safetensors() -> bytes:
    """Two tensors."""
    header = {
        "logits": {"dtype": "F32", "shape": [6, 3], "data_offsets": [0, 72]},
        "labels": {"dtype": "I64", "shape": [6], "data_offsets": [72, 120]},
    }
    line = json.dumps(header).encode()
    return len(line).to_bytes(8, "little") + line + LOGITS.tobytes() + LABELS.astype("<i8").tobytes()


def main() -> None:
    """Write them."""
    for name, files in seeds().items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files):
            (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
