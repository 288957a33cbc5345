"""What IRCoT is told: HippoRAG's instruction (Gutiérrez et al. 2024) and a demonstration of IRCoT's for 2Wiki."""

from __future__ import annotations

ANSWER = "So the answer is:"
_INSTRUCTION = f"""\
You serve as an intelligent assistant, adept at facilitating users through complex, multi-hop reasoning across \
multiple documents. This task is illustrated through demonstrations, each consisting of a document set paired with a \
relevant question and its multi-hop reasoning thoughts. Your task is to generate one thought for current step, DON'T \
generate the whole thoughts at once! If you reach what you believe to be the final step, start with "{ANSWER}".

"""
_KURRAM = """\
Wikipedia Title: Kurram Garhi
Kurram Garhi is a small village located near the city of Bannu, which is the part of Khyber Pakhtunkhwa province of \
Pakistan. Its population is approximately 35000. Barren hills are near this village. This village is on the border of \
Kurram Agency. Other nearby villages are Peppal, Surwangi and Amandi Kala.

"""
_CUP = """\
Wikipedia Title: 2001–02 UEFA Champions League second group stage
Eight winners and eight runners- up from the first group stage were drawn into four groups of four teams, each \
containing two group winners and two runners- up. Teams from the same country or from the same first round group could \
not be drawn together. The top two teams in each group advanced to the quarter- finals.

Wikipedia Title: Satellite tournament
A satellite tournament is either a minor tournament or event on a competitive sporting tour or one of a group of such \
tournaments that form a series played in the same country or region.

"""
_TROJKRSTI = """\
Wikipedia Title: Trojkrsti
Trojkrsti is a village in Municipality of Prilep, Republic of Macedonia.

"""
_ASCENSION = """\
Wikipedia Title: Telephone numbers in Ascension Island
Country Code:+ 247< br> International Call Prefix: 00 Ascension Island does not share the same country code( +290) \
with the rest of St Helena.

"""
_REASONED = f"""\
Question: Are both Kurram Garhi and Trojkrsti located in the same country?
Thought: Kurram Garhi is located in the country of Pakistan. Trojkrsti is located in the country of Republic of \
Macedonia. Thus, they are not in the same country. {ANSWER} no.
"""
SYSTEM = _INSTRUCTION + _KURRAM + _TROJKRSTI + _REASONED
FLASHRAG = f"{_INSTRUCTION}{_KURRAM}{_CUP}{_TROJKRSTI}{_ASCENSION}{_REASONED}\n\n\n"
"""What FlashRAG's text begins with: the demonstration's other passages are in it too."""
