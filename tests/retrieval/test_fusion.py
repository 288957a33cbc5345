"""Fusion is deterministic and leaves out an encoder that does not know the language."""

from __future__ import annotations

from itertools import permutations

from app.backend.retrieval.fusion import dense_weight, reciprocal_rank_fusion
from app.settings import RetrievalSettings


def test_the_score_is_the_weighted_sum_of_reciprocal_ranks() -> None:
    fused = dict(reciprocal_rank_fusion([(0.5, [(7, 0.9), (3, 0.8)]), (1.0, [(3, 12.0)])], 60))
    assert fused == {7: 0.5 / 61, 3: 0.5 / 62 + 1 / 61}


def test_equal_scores_stand_in_the_order_of_their_rows_whoever_came_first() -> None:
    rankings = [(1.0, [(9, 1.0)]), (1.0, [(2, 1.0)]), (1.0, [(5, 1.0)])]
    orders = {tuple(row for row, _ in reciprocal_rank_fusion(order, 60)) for order in permutations(rankings)}
    assert orders == {(2, 5, 9)}


def test_an_encoder_that_does_not_know_the_language_only_fills_what_words_leave_open() -> None:
    settings = RetrievalSettings(encoder_languages=("en",), dense_weight=0.7)
    weight = dense_weight("熊猫吃什么？", settings)
    dense = [(row, 1.0) for row in range(90, 0, -1)]
    fused = reciprocal_rank_fusion([(weight, dense), (1.0, [(4, 2.0), (3, 1.0)])], 60)
    assert [row for row, _ in fused[:4]] == [4, 3, 90, 89]
    assert dense_weight("What do pandas eat?", settings) == 0.7
    assert dense_weight("熊猫吃什么？", RetrievalSettings(encoder_languages=("en", "zh"))) == 0.7


def test_only_a_multilingual_encoder_has_a_say_where_nobody_knows_the_language() -> None:
    russian = "Что едят панды?"
    assert dense_weight(russian, RetrievalSettings(encoder_languages=("en", "zh"))) < 0.01
    multilingual = RetrievalSettings(encoder_languages=("multilingual",))
    assert [dense_weight(asked, multilingual) for asked in (russian, "熊猫吃什么？", "pandas")] == [0.7] * 3
