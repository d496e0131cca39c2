"""What lm-eval is told and what it says: its task files, its settings, its samples. Pure.

In: a question set, an endpoint. Out: the text of files, settings, an environment; and :class:`Graded` values from the samples that lm-eval
has written. One task for each subject, shaped like lm-eval's own generative MMLU, over the very items that our own client asks.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.metrics.accuracy import LETTER_PATTERN, graded
from pytest_dynperf.workload.mmlu import STOP, header_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.workload.mmlu import Item, QuestionSet

PREFIX = "dynperf_"
_MODELS = {"chat": ("local-chat-completions", "/v1/chat/completions"), "completions": ("local-completions", "/v1/completions")}
_TEXT = r"{{header}}{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:"
_TARGET = "{{['A', 'B', 'C', 'D'][answer]}}"
_INVALID = "[invalid]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What lm-eval made of one item: ``correct`` by its own count, ``None`` where its filter found no letter; ``text`` is what the server
    answered and ``prompt`` what lm-eval asked, as one user message or a text.
    """

    item: str
    subject: str
    correct: bool | None
    text: str
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """An item on which the two differ. ``lm_eval`` and ``ours``: right, wrong, or ``None`` for unreadable; ``why`` in words."""

    item: str
    lm_eval: bool | None
    ours: bool | None
    why: str


def task_files(found: QuestionSet, directory: str, *, endpoint: Endpoint, shots: int, osl: int) -> dict[str, str]:
    """Names and texts of the files that lm-eval reads, to be written into ``directory``: for each subject a task (JSON, which is YAML),
    its questions, and its examples where there are any.
    """
    files: dict[str, str] = {}
    for number, subject in enumerate(found.subjects):
        name = task_name(subject, number)
        data = {"test": f"{name}.test.jsonl"}
        header = header_of(subject) if found.header else ""
        files[data["test"]] = _rows([item for item in found.items if item.subject == subject], "" if shots else header)
        if shots:
            data["dev"] = f"{name}.dev.jsonl"
            files[data["dev"]] = _rows(found.examples[subject][:shots], header, first_alone=True)
        files[f"{name}.yaml"] = json.dumps(
            {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {split: f"{directory}/{file}" for split, file in data.items()}},
                "test_split": "test",
                **({"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}} if shots else {}),
                "num_fewshot": shots,
                "output_type": "generate_until",
                "doc_to_text": _TEXT.replace(r"\n", "\n"),
                "doc_to_target": _TARGET,
                "generation_kwargs": {
                    "until": list(STOP), "do_sample": False, "temperature": 0, "max_gen_toks": osl, **dict(endpoint.extra_body),
                },
                "filter_list": [{"name": "letter", "filter": _filters()}],
                "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}],
                "metadata": {"version": 1.0},
            },
            indent=1,
        )  # fmt: skip
    return files


def task_name(subject: str, number: int) -> str:
    """``dynperf_003_block-3``: a name of its own among lm-eval's, and safe as a file's."""
    return f"{PREFIX}{number:03}_{re.sub(r'[^A-Za-z0-9-]', '_', subject)}"


def _filters() -> list[dict[str, object]]:
    """The first line without the spaces around it, and the letter in it."""
    return [
        {"function": "regex", "regex_pattern": r"\A([^\n]*)", "fallback": ""},
        {"function": "remove_whitespace"},
        {"function": "regex", "regex_pattern": LETTER_PATTERN, "fallback": _INVALID},
        {"function": "take_first"},
    ]


def _rows(items: Sequence[Item], header: str, *, first_alone: bool = False) -> str:
    """One row for each item, with its id: lm-eval hands the whole row back with each sample. ``header`` stands before each, or before the
    first alone. (As lm-eval's description it would become a system message of a chat, which not every template takes.)
    """
    return "".join(
        json.dumps(
            {
                "item": item.id,
                "subject": item.subject,
                "header": "" if first_alone and number else header,
                "question": item.question,
                "choices": list(item.choices),
                "answer": item.answer,
            }
        )
        + "\n"
        for number, item in enumerate(items)
    )


def settings(
    endpoint: Endpoint, subjects: Sequence[str], *, tasks: str, output: str, concurrency: int, request_timeout_s: float
) -> dict[str, object]:
    """What :mod:`~pytest_dynperf.load.lm_eval_program` is told, for lm-eval 0.4.13. ``tasks`` is the directory of :func:`task_files`.

    At least two requests at a time: with one, lm-eval takes a path on which a server that is gone is an empty answer. No retries: a server
    that refuses is a fact. One message with everything in it, as our own client sends it: examples as turns of a conversation, and a header
    as a system message, are another prompt.

    :raises UsageError: for an endpoint with headers.
    """
    if endpoint.headers:
        msg = "extra headers of an endpoint are not passed on to lm-eval: remove them, or use our own client"
        raise UsageError(msg)
    kind, path = _MODELS[endpoint.api]
    return {
        "model": kind,
        "model_args": {
            "model": endpoint.model,
            "base_url": endpoint.url(path),
            "tokenizer_backend": None,
            "tokenized_requests": False,
            "num_concurrent": max(2, concurrency),
            "max_retries": 1,
            "timeout": max(1, round(request_timeout_s)),
        },
        "tasks": [task_name(subject, number) for number, subject in enumerate(subjects)],
        "include_path": tasks,
        "output": output,
        "apply_chat_template": endpoint.api == "chat",
        "fewshot_as_multiturn": False,
    }


def environment(environ: Mapping[str, str], endpoint: Endpoint, *, cache: str) -> dict[str, str]:
    """``environ`` for a process that must fetch nothing; the key, if any, by the one name that lm-eval knows. ``cache``: a directory for
    what lm-eval makes of the rows, so that nothing of an earlier set is found.

    :raises UsageError: when the variable that holds the key is not set.
    """
    key = {}
    if endpoint.api_key_variable is not None:
        if not environ.get(endpoint.api_key_variable):
            msg = f"the environment variable {endpoint.api_key_variable} is not set"
            raise UsageError(msg)
        key = {"OPENAI_API_KEY": environ[endpoint.api_key_variable]}
    certificates = {} if endpoint.ca_file is None else {"SSL_CERT_FILE": endpoint.ca_file, "REQUESTS_CA_BUNDLE": endpoint.ca_file}
    return {
        **{name: value for name, value in environ.items() if name != "OPENAI_API_KEY"},
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_CACHE": cache,
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "NO_COLOR": "1",
        **certificates,
        **key,
    }


def read_samples(text: str, found: QuestionSet) -> tuple[Graded, ...]:
    """What lm-eval made of every item of ``found``, in the order of the set; ``text``: its samples, one JSON object a line.

    :raises WorkloadError: where a line is no sample, or an item is missing, there twice, or unknown: then there is no accuracy.
    """
    read: dict[str, Graded] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        try:
            sample = _sample(json.loads(line))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            msg = f"line {number} is no sample of lm-eval 0.4.13: {type(error).__name__}: {error}"
            raise WorkloadError(msg) from error
        if sample.item in read:
            msg = f"lm-eval reports item {sample.item} twice (line {number} of its samples)"
            raise WorkloadError(msg)
        read[sample.item] = sample
    asked = [item.id for item in found.items]
    if missing := [item for item in asked if item not in read]:
        msg = f"lm-eval reports {len(asked) - len(missing)} of {len(asked)} items; the first that is missing is {missing[0]}"
        raise WorkloadError(msg)
    if more := sorted(read.keys() - set(asked)):
        msg = f"lm-eval reports {len(more)} items that were not asked, such as {more[0]}"
        raise WorkloadError(msg)
    return tuple(read[item] for item in asked)


def _sample(line: Mapping[str, object]) -> Graded:
    values = json.loads(json.dumps(line))
    [[text]] = values["resps"]
    [letter] = values["filtered_resps"]
    score = float(values["exact_match"])
    if score not in {0.0, 1.0}:
        msg = f"exact_match is {score}"
        raise ValueError(msg)
    return Graded(
        item=str(values["doc"]["item"]),
        subject=str(values["doc"]["subject"]),
        correct=None if letter == _INVALID else score == 1.0,
        text=str(text),
        prompt=_prompt(values["arguments"][0][0]),
    )


def _prompt(found: object) -> str:
    """Messages, as a list or as JSON, of which there must be one; or a text."""
    messages = found
    if isinstance(messages, str) and messages.startswith("[{"):
        messages = json.loads(messages)
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], str):
        return _prompt(messages[0])
    if isinstance(messages, list):
        [message] = messages
        return str(message["content"])
    return str(messages)


def disagreements(
    lm_eval: Iterable[Graded], ours: Iterable[RequestRecord], prompts: Mapping[str, str] | None = None
) -> tuple[Disagreement, ...]:
    """The items on which lm-eval and our own client differ: in right, wrong or unreadable, in the prompt (``prompts``: ours, by item), or
    in having been asked at all. In the order of lm-eval's, then ours. Empty: they agree item by item.

    :raises WorkloadError: where either has no item, or one twice: nothing would have been compared.
    """
    theirs = tuple(lm_eval)
    own = tuple(record for record in ours if record.item is not None)
    for name, items in (("lm-eval", [each.item for each in theirs]), ("our own client", [record.item or "" for record in own])):
        if not items:
            msg = f"{name} has no answer: nothing can be compared"
            raise WorkloadError(msg)
        item, times = Counter(items).most_common(1)[0]
        if times > 1:
            msg = f"{name} has {times} answers to item {item}: nothing can be paired"
            raise WorkloadError(msg)
    records = {record.item: record for record in own}
    known = {each.item for each in theirs}
    found = [_differs(each, records.get(each.item), (prompts or {}).get(each.item)) for each in theirs]
    alone = [
        Disagreement(item=record.item or "", lm_eval=None, ours=graded(record), why="lm-eval did not ask it")
        for record in own
        if record.item not in known
    ]
    return (*(each for each in found if each is not None), *alone)


def _differs(theirs: Graded, record: RequestRecord | None, prompt: str | None) -> Disagreement | None:
    if record is None:
        return Disagreement(item=theirs.item, lm_eval=theirs.correct, ours=None, why="our own client did not ask it")
    own = graded(record)
    if prompt is not None and prompt != theirs.prompt:
        why = "the prompts differ"
    elif own is theirs.correct:
        return None
    elif record.error is not None:
        why = f"our request failed: {record.error.kind.value}: {record.error.detail}"
    elif (record.answer or "").strip() != theirs.text.strip():
        why = f"the server answered {theirs.text[:60]!r} to lm-eval and {(record.answer or '')[:60]!r} to us"
    else:
        why = f"both were answered {theirs.text[:60]!r}, and read it differently"
    return Disagreement(item=theirs.item, lm_eval=theirs.correct, ours=own, why=why)
