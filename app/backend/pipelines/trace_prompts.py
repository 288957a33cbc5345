"""The published prompts of TRACE (Fang et al. 2024) with the three shortest of its demonstrations for HotpotQA.

Invariant: data only; which of it is shown does not depend on the question, so that the engine's prefix cache keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

EXTRACT = (
    "Given a title and a text, extract all the knowledge triples in the form of <title; relation; tail entity>, where "
    "title is the provided title, tail entity is a phrase in the text and relation denotes a description of the "
    "relation between the title and the tail entity. \n\nThe followings are some examples: \n\n"
)
CHOOSE = (
    "Select the next knowledge triple that extends an existing set of knowledge triples to form a coherent reasoning "
    "path capable of answering a specified question. If the current reasoning path is sufficient to answer the "
    "question, simply output A. Please only output the choice for the next knowledge triple."
)
SHOWN = (
    " \n\nThe followings are some examples of coherent reasoning paths capable of answering the specified question and "
    "how the {hop}-th knowledge triples in these paths are selected:\n\n"
)
ENOUGH = "A. no need for additional knowledge triples"
NEXT = "the next possible triple is:"


@dataclass(frozen=True, slots=True)
class Extracted:
    """A text with the triples in it."""

    title: str
    text: str
    triples: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One choice on the way: what there was, what there was to choose from, and the letter."""

    known: tuple[str, ...]
    candidates: tuple[str, ...]
    letter: str


@dataclass(frozen=True, slots=True)
class Chained:
    """A question with the chain that answers it, hop by hop."""

    question: str
    hops: tuple[Hop, ...]


EXTRACTED = (
    Extracted(
        "Ellen Glasgow",
        (
            "Ellen Anderson Gholson Glasgow (April 22, 1873 – November 21, 1945) was an American novelist who "
            "portrayed the changing world of the contemporary South."
        ),
        (
            "<Ellen Glasgow; full name; Ellen Anderson Gholson Glasgow>\n"
            "<Ellen Glasgow; date of birth; April 22, 1873>\n"
            "<Ellen Glasgow; date of death; November 21, 1945>\n"
            "<Ellen Glasgow; nationality; American>\n"
            "<Ellen Glasgow; occupation; novelist>\n"
            "<Ellen Glasgow; the theme of her literary work; changing world of the contemporary South>"
        ),
    ),
    Extracted(
        "The Duo",
        (
            "The Duo () is a 2011 South Korean historical drama series, starring Chun Jung-myung, Lee Sang-yoon, Han "
            "Ji-hye and Seo Hyun-jin. It aired on MBC from February 7 to May 24, 2011 on Mondays and Tuesdays at 21:55 "
            "for 32 episodes."
        ),
        (
            "<The Duo; country of origin; South Korea>\n"
            "<The Duo; genre; historical drama series>\n"
            "<The Duo; starring; Chun Jung-myung, Lee Sang-yoon, Han Ji-hye, Seo Hyun-jin>\n"
            "<The Duo; television network that aired the series; MBC>\n"
            "<The Duo; air days and time; from February 7 to May 24, 2011 on Mondays and Tuesdays at 21:55>\n"
            "<The Duo; number of episodes; 32 episodes>"
        ),
    ),
    Extracted(
        "United States v. Silk",
        (
            "United States v. Silk, 331 U.S. 704 (1947) , was a United States Supreme Court case regarding US labor "
            "law. The case concerned the scope of protection for employees under the Social Security Act 1935."
        ),
        (
            "<United States v. Silk; formal citation of the case; 331 U.S. 704 (1947)>\n"
            "<United States v. Silk; year the case was decided; 1947>\n"
            "<United States v. Silk; court that adjudicated the case; United States Supreme Court>\n"
            "<United States v. Silk; legal focus; US labor law>\n"
            "<United States v. Silk; issue; scope of protection for employees under the Social Security Act 1935>"
        ),
    ),
)
CHAINED = (
    Chained(
        "What was the occupation of both Marguerite Radclyffe Hall and Charles Bukowski?",
        (
            Hop(
                (),
                (
                    "<Charles Bukowski; occupation; poet, novelist, short story writer>",
                    "<Radclyffe Hall; full name; Marguerite Radclyffe Hall>",
                    "<Radclyffe Hall; occupation; poet and author>",
                    "<Charles Bukowski; occupation; poet>",
                ),
                "B",
            ),
            Hop(
                ("<Charles Bukowski; occupation; poet, novelist, short story writer>",),
                (
                    "<Radclyffe Hall; full name; Marguerite Radclyffe Hall>",
                    "<Radclyffe Hall; occupation; poet and author>",
                    "<Charles Bukowski; occupation; poet>",
                    "<Radclyffe Hall; nationality; English>",
                ),
                "C",
            ),
            Hop(
                (
                    "<Charles Bukowski; occupation; poet, novelist, short story writer>",
                    "<Radclyffe Hall; occupation; poet and author>",
                ),
                (
                    "<Radclyffe Hall; full name; Marguerite Radclyffe Hall>",
                    "<Radclyffe Hall; notable work; The Well of Loneliness>",
                    "<Charles Bukowski; occupation; poet>",
                    "<Radclyffe Hall; nationality; English>",
                ),
                "A",
            ),
        ),
    ),
    Chained(
        (
            "Who is credited with composing the music for the song named in a famous Guatemalan lottery dedicated to "
            "help the deafblind?"
        ),
        (
            Hop(
                (),
                (
                    "<Santa Lucia; year of composition; 1835>",
                    "<Lotería Santa Lucía; purpose; to help the deafblind across the country>",
                    "<Santa Lucia; type; traditional Neapolitan song>",
                    "<Santa Lucia; composer; A. Longo (1835)>",
                ),
                "C",
            ),
            Hop(
                ("<Lotería Santa Lucía; purpose; to help the deafblind across the country>",),
                (
                    "<Santa Lucia; year of composition; 1835>",
                    "<Lotería Santa Lucía; location; Guatemala>",
                    "<Santa Lucia; type; traditional Neapolitan song>",
                    "<Santa Lucia; composer; A. Longo (1835)>",
                ),
                "E",
            ),
            Hop(
                (
                    "<Lotería Santa Lucía; purpose; to help the deafblind across the country>",
                    "<Santa Lucia; composer; A. Longo (1835)>",
                ),
                (
                    "<Santa Lucia; year of composition; 1835>",
                    "<Lotería Santa Lucía; location; Guatemala>",
                    "<Santa Lucia; type; traditional Neapolitan song>",
                    "<Lotería Santa Lucía; type; lottery>",
                ),
                "A",
            ),
        ),
    ),
    Chained(
        'When was the actress who is performing a routine bugging operation in "One Last Dance" born?',
        (
            Hop(
                (),
                (
                    "<One Last Dance (2003 film); starring; Patrick Swayze, Lisa Niemi, George de la Peña>",
                    (
                        "<One Last Dance (Spooks); type; episode of the first series of the British television series "
                        '"Spooks">'
                    ),
                    "<One Last Dance (R5 song); artist; American pop rock band R5>",
                    "<Keeley Hawes; occupation; actress>",
                ),
                "E",
            ),
            Hop(
                ("<Keeley Hawes; occupation; actress>",),
                (
                    (
                        "<One Last Dance (Spooks); type; episode of the first series of the British television series "
                        '"Spooks">'
                    ),
                    "<One Last Dance (Spooks); television network that aired the episode; BBC One>",
                    "<Keeley Hawes; birthdate; 10 February 1976>",
                    "<One Last Dance (Spooks); air date; 27 June 2002>",
                ),
                "D",
            ),
            Hop(
                (
                    "<Keeley Hawes; occupation; actress>",
                    "<Keeley Hawes; birthdate; 10 February 1976>",
                ),
                (
                    "<One Last Dance (Spooks); air date; 27 June 2002>",
                    "<One Last Dance (Spooks); television network that aired the episode; BBC One>",
                    "<One Last Dance (Spooks); viewership; over 7 million viewers in the UK>",
                    "<One Last Dance (Spooks); plot; based on the Iranian Embassy Siege in 1980>",
                ),
                "A",
            ),
        ),
    ),
)
