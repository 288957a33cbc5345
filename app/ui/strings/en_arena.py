"""English: the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping

STRINGS: Mapping[str, str] = {
    "arena.title": "Leaderboard",
    "arena.heading": "Which method answers best?",
    "arena.lead": (
        "Ratings from votes on answers side by side. A bar is the range in which a rating lies with 95 % "
        "confidence: where bars overlap, the order is not settled."
    ),
    "arena.vote": "Vote on a blind pair",
    "arena.filters": "Which votes",
    "arena.corpus": "Corpus",
    "arena.language": "Language",
    "arena.judge": "Judged by",
    "arena.all": "all",
    "arena.en": "English",
    "arena.zh": "Chinese",
    "arena.other": "Other",
    "arena.human": "people",
    "arena.model": "a model",
    "arena.blind": "Blind votes only",
    "arena.blind_hint": "Only votes that were cast before the names were shown",
    "arena.style": "Style control",
    "arena.style_hint": "Rates as if all answers were equally long, equally cited and equally fast",
    "arena.apply": "Show",
    "arena.votes": "{n} votes",
    "arena.votes_one": "1 vote",
    "arena.rank": "Rank",
    "arena.rank_hint": (
        "The first number is one more than the methods whose bar lies wholly above; the second counts all but "
        "those whose bar lies wholly below"
    ),
    "arena.method": "Method",
    "arena.rating": "Rating",
    "arena.interval": "95 % interval",
    "arena.interval_of": "between {low} and {high} with 95 % confidence",
    "arena.count": "Votes",
    "arena.points": "Points won",
    "arena.points_of": "{won} won, {drawn} drawn, {lost} lost",
    "arena.time": "Time",
    "arena.time_hint": (
        "Median time from the question to the whole answer; the slowest twentieth takes longer than {slow}"
    ),
    "arena.none": "Not enough votes yet",
    "arena.none_text": (
        "A method is rated once it stood in {least} votes and has met the others in them. Vote on a few blind "
        "pairs, and the first ratings appear here."
    ),
    "arena.none_filtered": "These filters leave too few votes to rate anybody.",
    "arena.reset": "Show all votes",
    "arena.pending": "Not enough votes yet",
    "arena.pending_text": "Rated from {least} votes on, against methods that are rated.",
    "arena.missing": "{n} more votes",
    "arena.missing_one": "1 more vote",
    "arena.unlinked": "has not met those above yet",
    "arena.pending_more": "and {n} more",
    "arena.effects": "What style is worth",
    "arena.effects_text": (
        "Points for an answer that has one standard deviation more of it than the other. They are taken out of "
        "the ratings above."
    ),
    "arena.chars": "Longer",
    "arena.citations": "More citations",
    "arena.ms": "Slower",
    "arena.matrix": "Who beats whom",
    "arena.matrix_text": (
        "Points that the method on the left won against the one above, in percent. Open a cell to see the battles "
        "behind it."
    ),
    "arena.cell": "{one} against {other}: {share} % of the points in {n} battles",
    "arena.cell_none": "{one} has not met {other}",
    "arena.chart": "Quality against time",
    "arena.chart_text": (
        "Up is better, left is faster. On the line nobody is both better and faster. The thin bars are the 95 % "
        "interval, and the time from the median to the slowest twentieth."
    ),
    "arena.dot": "{name}: rating {rating}, {ms}",
    "arena.close": "Close",
    "arena.against": "{one} against {other}",
    "arena.won": "won",
    "arena.drawn": "drew",
    "arena.lost": "lost",
    "arena.newest": "The newest {n}",
    "arena.own": "your vote",
    "arena.open": "Open the comparison",
    "arena.chars_n": "{n} characters",
    "arena.how": "How this is computed",
    "arena.how_model": (
        "Bradley-Terry model by maximum likelihood; a tie, and “both bad”, is half a win for each. 400 points are "
        "odds of ten to one, and the mean is 1000."
    ),
    "arena.how_interval": (
        "The intervals come from 500 draws of the votes with replacement (bootstrap). Votes on three or four "
        "answers are drawn as one."
    ),
    "arena.how_prior": (
        "Everybody starts with one game won and one lost against an average method, so that who has won all is "
        "not rated infinitely high."
    ),
    "arena.how_rule": (
        "A method is rated from {least} votes on, when battles link it with the others. Votes on answers that "
        "failed, were not finished or gave away what made them do not count."
    ),
    "arena.how_pairs": (
        "Blind pairs are drawn so that a vote narrows the intervals most; who is new comes up more often."
    ),
    "arena.updated": "The leaderboard has changed.",
    "arena.offline": "The server cannot be reached. This page goes on by itself when it can.",
    "arena.failed": "The battles could not be loaded. Try again.",
}
