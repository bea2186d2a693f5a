"""A short text message in answer to a prompt without a schema, made of what the person said. Pure."""

from __future__ import annotations

import re

from sandbox import claude_lexicon as lexicon
from sandbox.claude_topics import TOPICS, Reader, intents

READERS: dict[str, Reader] = {topic: reader for topic, _, reader in TOPICS}
OPENINGS = ("Thanks for reaching out!", "Thank you for the details!", "Got it, thank you!")
SPANISH_OPENINGS = ("¡Gracias por escribir!", "¡Entendido, gracias!", "¡Muchas gracias por los detalles!")
# What is still to be asked, per intent, in the order in which an agent asks it.
QUESTIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "sell": (
        ("address", "What is the address of the home?", "¿Cuál es la dirección de la casa?"),
        ("timeline", "When would you like to be moved?", "¿Para cuándo le gustaría mudarse?"),
        ("condition", "What condition is it in?", "¿En qué estado está?"),
        ("reason", "What is making you think about a move?", "¿Qué le hace pensar en mudarse?"),
    ),
    "buy": (
        ("area", "Which area are you looking in?", "¿En qué zona busca?"),
        ("price_max", "What price range would you like to stay in?", "¿Qué presupuesto tiene?"),
        ("bedrooms", "How many bedrooms do you need?", "¿Cuántas habitaciones necesita?"),
        ("timeline", "When would you like to move?", "¿Para cuándo le gustaría mudarse?"),
        ("financing", "Have you spoken with a lender yet?", "¿Ya habló con un banco?"),
    ),
    "": (("intent", "Are you looking to buy, to sell, or both?", "¿Quiere comprar, vender o las dos cosas?"),),
}
ASK = re.compile(
    r"(?:^|[.\n>])\s*(?:please\s+)?(?:ask(?: them)?(?: only)?(?: about| for)?|next question|question to ask)\s*:?\s*([^.\n<]+\??)",
    re.I,
)
LIMIT = re.compile(
    r"(?:at most|under|no more than|up to|within|maximum(?: of)?)\s+(\d{2,4})\s+characters", re.IGNORECASE
)


def reply_text(words: str, instructions: str, *, seed: int) -> str:
    """Answer the person: say back what they said, then ask one thing that is not known yet.

    Args:
        words: What the person wrote.
        instructions: What else stands in the prompt; "ask: ..." and "at most 320 characters" are followed.
        seed: Chooses between ways to say the same.
    """
    spanish = lexicon.language(words) == "es"
    wants = intents(words)
    intent = "sell" if "sell" in wants else "buy" if "buy" in wants else ""
    opening = (SPANISH_OPENINGS if spanish else OPENINGS)[seed % len(OPENINGS)]
    parts = [
        opening,
        _said_back(words, intent, spanish=spanish),
        _question(words, intent, instructions, spanish=spanish),
    ]
    text = " ".join(part for part in parts if part)
    limit = LIMIT.search(instructions)
    return _cut(text, int(limit[1])) if limit else text


def _said_back(words: str, intent: str, *, spanish: bool) -> str:
    known = {
        topic: found.words
        for topic in ("bedrooms", "area", "price_max", "timeline")
        if (found := READERS[topic](words))
    }
    if not intent and not known:
        return ""
    if spanish:
        verb = {"sell": "quiere vender", "buy": "quiere comprar"}.get(intent, "busca casa")
        return f"Veo que {verb}" + (f" ({', '.join(known.values())})" if known else "") + "."
    verb = {"sell": "you want to sell", "buy": "you want to buy"}.get(intent, "you told me about your search")
    return f"I see that {verb}" + (f" ({', '.join(known.values())})" if known else "") + "."


def _question(words: str, intent: str, instructions: str, *, spanish: bool) -> str:
    told = ASK.search(instructions)
    if told:
        asked = told[1].strip()
        if asked.endswith("?"):
            return asked[0].upper() + asked[1:]
        return f"{'¿Me puede decir' if spanish else 'Could you tell me'} {asked}?"
    for topic, english, in_spanish in QUESTIONS[intent]:
        if topic == "intent" or READERS[topic](words) is None:
            return in_spanish if spanish else english
    return "¿Cuándo podemos hablar por teléfono?" if spanish else "When would be a good time for a call?"


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    sentences = re.split(r"(?<=[.!?])\s+", text)
    # The question is what moves the conversation on, so it is kept the longest.
    while len(sentences) > 1 and len(" ".join(sentences)) > longest:
        sentences.pop(0)
    return " ".join(sentences)[:longest].rstrip()
