"""Files as lm-evaluation-harness writes them with --log_samples, in the forms that its versions have had."""

from __future__ import annotations

import hashlib
import json

import numpy as np

TIME = "2024-07-01T12-34-56.789012"
# Task -> choices of the documents, and whether the target is a choice's number.
TASKS = {"arc_easy": (3, 4, 5), "hellaswag": (4,), "mmlu_anatomy": (4,), "boolq": (2,)}


def documents(task, n=12, seed=0):
    """Of each document its text, the choices' continuations, log-likelihoods and the right one's number."""
    rng = np.random.default_rng([seed, *task.encode()])
    for number in range(n):
        k = int(rng.choice(TASKS[task]))
        logits = np.round(rng.normal(-12, 6, k), 6)
        gold = int(rng.integers(k))
        texts = [f"choice {number}-{place}" for place in range(k)]
        if task == "arc_easy":
            doc = {
                "question": f"q{number}",
                "choices": {"text": texts, "label": list("ABCDE"[:k])},
                "answerKey": "ABCDE"[gold],
            }
        elif task == "hellaswag":
            doc = {"query": f"ctx {number}", "choices": texts, "gold": gold, "endings": texts, "label": str(gold)}
        elif task == "mmlu_anatomy":
            doc = {"question": f"q{number}?", "subject": f"anatomy {number % 2}", "choices": texts, "answer": gold}
            texts = list("ABCD")
        else:
            doc, texts = {"question": "is it", "passage": "It is.\n" * 9, "label": gold}, ["no", "yes"]
        yield number, doc, texts, logits, gold


def sample(number, doc, texts, logits, gold, *, new=True, kept="none", **more):
    """One record; ``new`` for numbers as text, a filter's name and hashes, otherwise the first form."""
    greedy = [bool(place == 0) for place in range(len(logits))]
    right = float(np.argmax(logits) == gold)
    record = {"doc_id": number, "doc": doc, "target": gold}
    pairs = [[f"Q: {number}\nA:", f" {text}"] for text in texts]
    if new:
        answers = [[str(float(z)), str(is_greedy)] for z, is_greedy in zip(logits, greedy, strict=True)]
        record |= {
            "target": str(gold),
            "arguments": {f"gen_args_{k}": {"arg_0": a, "arg_1": b} for k, (a, b) in enumerate(pairs)},
            "resps": [[answer] for answer in answers],
            "filtered_resps": answers,
            "filter": kept,
            "metrics": ["acc", "acc_norm"],
            "doc_hash": hashlib.sha256(str(doc).encode()).hexdigest(),
        }
    else:
        answers = [[float(z), is_greedy] for z, is_greedy in zip(logits, greedy, strict=True)]
        record |= {"arguments": pairs, "resps": [[answer] for answer in answers], "filtered_resps": answers}
    return record | {"acc": right, "acc_norm": right} | more


def samples(task, *, new=True, n=12, seed=0, **more):
    return [sample(*document, new=new, **more) for document in documents(task, n, seed)]


def generated(new=True):
    """gsm8k: text, by two filters."""
    for kept in ("strict-match", "flexible-extract"):
        for number in range(3):
            record = {"doc_id": number, "doc": {"question": "2 + 2?"}, "target": "#### 4", "resps": [["It is 4."]]}
            yield record | {"filtered_resps": ["4"], "filter": kept, "exact_match": 1.0}


def written(records, *, indent=None):
    if indent is not None:
        return json.dumps(list(records), indent=indent, ensure_ascii=False).encode()
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def name(task):
    return f"samples_{task}_{TIME}.jsonl"


def expected(tasks, n=12, seed=0):
    """Rows padded to the largest number of choices, and the right ones."""
    found = [(logits, gold) for task in tasks for _, _, _, logits, gold in documents(task, n, seed)]
    scores = np.full((len(found), max(len(logits) for logits, _ in found)), -np.inf)
    for row, (logits, _) in enumerate(found):
        scores[row, : len(logits)] = logits
    return scores, np.array([gold for _, gold in found])
