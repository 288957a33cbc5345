"""English: comparisons over a file of questions."""

from __future__ import annotations

from collections.abc import Mapping

STRINGS: Mapping[str, str] = {
    "batch.title": "Batches",
    "batch.heading": "The same comparison over many questions",
    "batch.lead": (
        "Give a file of questions and two to four ways to answer them. They are answered in the background, behind "
        "whoever chats, and go on after a restart."
    ),
    "batch.open": "Compare over a file of questions",
    "batch.questions": "Questions",
    "batch.paste": "Paste questions here, one a line, or drop a file",
    "batch.file": "Choose a file",
    "batch.example": "Take demo questions",
    "batch.format": (
        'One question a line, or FlashRAG\'s JSON lines: {{"question": …, "golden_answers": […]}}. With golden '
        "answers the sides are scored. Up to {most} questions."
    ),
    "batch.count_one": "1 question",
    "batch.count": "{n} questions",
    "batch.count_golden_one": "1 question, {golden} with golden answers",
    "batch.count_golden": "{n} questions, {golden} with golden answers",
    "batch.sides": "Sides",
    "batch.add": "Add a side",
    "batch.remove": "Remove this side",
    "batch.params": "Settings that differ from the defaults",
    "batch.params_hint": "such as retrieval_topk=5",
    "batch.bad_params": "Write settings as name=value, with commas between them.",
    "batch.judged": "Let the model judge the answers",
    "batch.judged_hint": "It says which of each two is better, also without golden answers: two more calls a pair.",
    "batch.name": "Name",
    "batch.unnamed": "Questions",
    "batch.go": "Start",
    "batch.mine": "Your batches",
    "batch.none": "None yet. The first one appears here.",
    "batch.done_of": "{n} of {of} answered",
    "batch.left": "about {s} left",
    "batch.stopped": "stopped",
    "batch.failed_n": "{n} failed",
    "batch.held": "It waits: {why}",
    "batch.held_plain": "It waits until there is room, and goes on by itself.",
    "batch.progress": "Progress",
    "batch.stop": "Stop",
    "batch.continue": "Continue",
    "batch.retry": "Ask the failed ones again",
    "batch.download": "Download the rows as {kind}",
    "batch.back": "Back to its batch",
    "batch.delete": "Delete",
    "batch.keep": "Keep it",
    "batch.sure": "Delete this batch with all of its comparisons? They cannot be brought back.",
    "batch.says": "What it says",
    "batch.by": "Measured by",
    "batch.say_beats": "{left} beats {right} by {d} {metric} [{low}, {high}] on {n} questions.",
    "batch.say_open": "{left} and {right} cannot be told apart: {d} {metric} [{low}, {high}] on {n} questions.",
    "batch.say_few": "Too few questions to say: {n} answered by both {left} and {right}.",
    "batch.so_far": "So far: {said}",
    "batch.better": "better",
    "batch.wins": "{n} better",
    "batch.ties": "{n} equal",
    "batch.how": (
        "Differences on the same questions, with 95 % intervals by paired bootstrap. There is a verdict from {fewest} "
        "questions on. Looking early, and at several pairs, makes chance findings likelier than the interval says."
    ),
    "batch.nothing_yet": "Nothing to compare yet: the first answers are on their way.",
    "batch.nothing": "No question was measured on two sides.",
    "batch.no_golden": (
        "These questions came without golden answers, so nothing is scored. Open a row to read its answers side by "
        "side and to vote: votes are counted here."
    ),
    "batch.how_judge": (
        "The engine compared each two answers in both orders; where these disagree it is a tie (Zheng et al. 2023). "
        "Its verdicts are worth what the model is: do not trust those of a small one."
    ),
    "batch.unread_one": "1 verdict could not be read.",
    "batch.unread": "{n} verdicts could not be read.",
    "batch.mean": "Mean score",
    "batch.median": "Median time",
    "batch.answers": "Answers",
    "batch.pairs": "Pairs",
    "batch.spread": "Question by question",
    "batch.spread_text": "Each bar is one question: up where {left} scores higher, down where {right} does.",
    "batch.rows": "Answers",
    "batch.filter": "Which rows",
    "batch.show_differ": "Differ most",
    "batch.show_file": "As in the file",
    "batch.show_better": "{letter} better",
    "batch.show_none": "None right",
    "batch.show_failed": "Failed",
    "batch.no_rows": "No question is like that.",
    "batch.more": "Show more ({n})",
    "batch.waits": "not asked yet",
    "batch.answering": "being answered",
    "batch.cell_failed": "failed",
    "batch.cell_stopped": "stopped",
    "batch.cell_interrupted": "interrupted",
    "batch.too_large": "This file is too large: give at most 1.5 MB.",
    "batch.offline": "The server cannot be reached.",
    "metric.judge": "points of the judge",
    "metric.vote": "points of your votes",
    "metric.em": "exact match",
    "metric.acc": "accuracy",
    "metric.precision": "precision",
    "metric.recall": "recall",
    "metric.zh_rouge-1": "ROUGE-1 (Chinese)",
    "metric.zh_rouge-l": "ROUGE-L (Chinese)",
}
